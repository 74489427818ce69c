"""The line of new streams inside an event loop: who is let in, when, one in each turn of the loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from meshcore.errors import ErrorCode, MeshError

from pilot.adapters import telemetry
from pilot.adapters.ticket import Ticket
from pilot.core.admission import Admission
from pilot.core.tenants import Tenants

LOOK = 0.002
"""Seconds between two looks at how late the loop is, while streams wait."""


class Line:
    """One per process. The first config of a stream may have to be compiled: between two of them everybody else has a
    turn. `stirred` is called when a stream has been served."""

    def __init__(self, admission: Admission, tenants: Tenants, stirred: Callable[[], None]) -> None:
        self._admission = admission
        self._tenants = tenants
        self._stirred = stirred
        self._gates: dict[int, asyncio.Future[bool]] = {}
        """By number in line: whether the stream is let in."""
        self._numbers = 0
        self._next: asyncio.TimerHandle | None = None
        self._next_at = 0.0
        """When that is; a handle of uvloop's does not say so where it is at once."""
        self._looks = False
        """Whether it is looked how late the loop is: while somebody waits."""
        telemetry.ADMISSION_LIMIT.set(admission.limit)

    @contextlib.asynccontextmanager
    async def admitted(self, client: str) -> AsyncIterator[Ticket]:
        """Wait until this stream of a client may be read; RESOURCE_EXHAUSTED over the hard ceiling, or when the client
        has too many."""
        self._numbers += 1
        number = self._numbers
        with self._tenants.stream(client):
            refused = self._admission.arrived(number, client, time.monotonic())
            if refused != number:
                gate = self._gates[number] = asyncio.get_running_loop().create_future()
                if refused is not None and not self._gates[refused].done():
                    self._gates[refused].set_result(False)
            ticket = Ticket(self, number)
            try:
                self._plan()
                if refused == number or not await gate:
                    detail = "more new streams per second than PILOT_MAX_REQUESTS_PER_SECOND"
                    raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, detail)
                yield ticket
            finally:
                ticket.done()

    def heard(self, number: int) -> None:
        """The stream of this ticket has said something."""
        self._admission.heard(number, time.monotonic())

    def finished(self, number: int) -> None:
        """The stream of this ticket is complete or gone."""
        self._gates.pop(number, None)
        self._admission.finished(number)
        self._stirred()
        self._plan()

    def _plan(self) -> None:
        """Let the next one in when it may come."""
        telemetry.ADMISSION_BACKLOG.set(self._admission.backlog)
        start = self._admission.next_start
        if start is None:
            return
        now = time.monotonic()
        if not self._looks:
            self._look_after(now)
        when = max(now, start)
        if self._next is not None:
            if self._next_at <= when:
                return
            self._next.cancel()
        self._next, self._next_at = asyncio.get_running_loop().call_later(when - now, self._open), when

    def _look_after(self, now: float) -> None:
        self._looks = True
        asyncio.get_running_loop().call_later(LOOK, self._look, now + LOOK, time.thread_time() + LOOK)

    def _look(self, due: float, busy: float) -> None:
        """See how late the loop is: as many are served at once as it bears. `busy` is the processor time of this thread
        after which it is late by its own work."""
        now = time.monotonic()
        self._looks = False
        self._admission.looked(min(now - due, time.thread_time() - busy))
        telemetry.ADMISSION_LIMIT.set(self._admission.limit)
        if self._admission.backlog:
            self._look_after(now)
            self._plan()

    def _open(self) -> None:
        self._next = None
        for number in self._admission.admitted(time.monotonic(), 1):
            if (gate := self._gates.get(number)) is not None and not gate.done():
                gate.set_result(True)
        self._plan()
