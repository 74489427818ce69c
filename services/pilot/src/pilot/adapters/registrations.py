"""Registration of workloads over their agents' streams; see `pilot.core.registration` for what is decided."""

from typing import Protocol

from pilot.core.stream import Stream


class Registrations(Protocol):
    """What the ADS service tells about streams whose node names a group to register with."""

    async def began(self, stream: Stream) -> None:
        """An authorised stream; FAILED_PRECONDITION when its WorkloadGroup does not exist."""

    def health(self, stream: Stream, *, healthy: bool) -> None:
        """The agent says how its workload is."""

    def ended(self, stream: Stream, *, orderly: bool) -> None:
        """The stream is over."""
