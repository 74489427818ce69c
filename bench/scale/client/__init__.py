"""Many delta-ADS proxies in one process, for any ADS server: raw frames, real ACKs, subscriptions as Envoy makes them.

    python -m bench.scale.client --target 127.2.255.2:15010 --proxies 1000 --classes 50

__main__.py    commands from standard input
proxy.py       one proxy: what it holds, what it answers, when it connects again
held.py        what proxies hold, once for all that hold the same
node.py        who they are
connection.py  HTTP/2 as far as one call on one connection needs it
tls.py         TLS between that and the socket

It must cost less than the server: what was read of a message serves every proxy that is sent the same bytes.
"""
