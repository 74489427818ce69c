"""What Pilot's engine costs with many services and proxies: `make bench-scale`; docs/performance.md says how.

__main__.py      profiles, runs in alternation, the result
mesh.py          NATS, Galley, Citadel and Pilot as `meshctl up` starts them, and what Pilot has spent
fed_objects.py   the services, and the changes to them
certificates.py  certificates of the mesh's root for the simulated proxies
client/          the simulated proxies: a process of its own, for any ADS server
proxies.py       that process, seen from here
changes.py       from a change to the last ACK
storms.py        connecting, reconnecting, cold start
"""
