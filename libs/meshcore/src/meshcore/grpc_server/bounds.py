"""What the clients of a server may have. Pure."""

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sizes in bytes, times in seconds."""

    message: int
    """A message of a client, as it is meant."""
    held: int = 4 * MEBIBYTE
    """Headers and messages of one connection that lie here, unread or not whole; more end it."""
    held_in_all: int = 256 * MEBIBYTE
    """The same of all connections; more end the one that has the most."""
    connections: int = 16384
    streams_at_once: int = 128
    """Of one connection."""
    calls: int = 1000
    streams: int = 32768
    """Unary calls and streams of all connections; more are refused."""
    greeting: int = 10
    """Until the first word."""
    ping_after: int = 60
    gone_after: int = 80
    """Of silence, until a ping and until the end."""
    stalled_after: int = 60
    """That what is to be sent may lie, unless a good part of it is taken."""
    grace: float = 2
    """That calls in work get at a stop."""
