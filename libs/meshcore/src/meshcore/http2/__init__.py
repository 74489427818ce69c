"""HTTP/2 (RFC 9113) as a server speaks it, without any I/O: bytes go in, events and bytes come out.

connection.py  the connection: frames and streams, and what a client may not do
outgoing.py    its sending side, with the client's windows
cuts.py        what many connections are sent alike, as frames
hpack.py       header blocks (RFC 7541)
huffman.py     its code for texts
frames.py      how frames look
events.py      what the connection tells
"""

from meshcore.http2.connection import Connection
from meshcore.http2.cuts import Cuts
from meshcore.http2.events import Event, Flushed, Limits, Received, Requested, Reset, Violated
from meshcore.http2.frames import Code

__all__ = ["Code", "Connection", "Cuts", "Event", "Flushed", "Limits", "Received", "Requested", "Reset", "Violated"]
