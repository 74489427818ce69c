"""What Pilot's engine costs with many services and proxies: `make bench-scale`; docs/performance.md says how.

__main__.py      runs in alternation, the result
profiles.py      how large they are
parts.py         what they measure:
  changes.py       from a change to the last ACK
  storms.py        connecting, reconnecting, cold start, many that are idle
  curves.py        how cost grows
mesh.py          NATS, Galley, Citadel and Pilot as `meshctl up` starts them
spent.py         what processes have spent
fed_objects.py   the services, and the changes to them
certificates.py  certificates of the mesh's root for the simulated proxies
client/          the simulated proxies: a process of its own, for any ADS server
churn.py         changes without an end
soak.py          what grows, and what differs, under them: `make soak`
proxies.py       that process, seen from here
results.py       result files
compare.py       two of them side by side
page.py          docs/performance.md, with
  targets.py       what must be reached
  plots.py         the plots
"""
