"""A gRPC server on asyncio: client certificates may be optional, and a call costs a fraction of one through grpc.aio.

server.py    listens, keeps time, stops
bounds.py    what clients may have
service.py   what connections share
secured.py   TLS of a connection
handshakes.py  whose handshake goes on next
served.py    a connection, between HTTP/2 (`meshcore.http2`) and calls
turns.py     whose call is begun next
calls.py     a call as its handler sees it
messages.py  messages in the content of a stream
heads.py     headers of requests and answers
"""

from meshcore.grpc_server.bounds import Bounds
from meshcore.grpc_server.calls import Call, Handler, Peer, Streaming, Unary
from meshcore.grpc_server.server import serving

__all__ = ["Bounds", "Call", "Handler", "Peer", "Streaming", "Unary", "serving"]
