"""Transparent capture: which packets of a workload go through its proxy, as rules of netfilter."""
