"""Rules that several kinds share: names, ports, durations, patterns, headers, selectors, traffic policies.

Every function writes what is wrong into a `Report` under a field path and goes on: all violations at once. The rules
are those of Istio's own validation, its quirks included where they decide what is accepted.
"""
