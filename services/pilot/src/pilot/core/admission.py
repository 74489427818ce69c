"""How fast new streams are taken in: in turns of their clients, as many at a time as are being served their first
config. Pure.

Connecting costs a compile and a large message, so a storm is spread, not refused: the next one comes in as soon as one
has its config, so that streams come as fast as the machine and the clients bear (`pilot.core.concurrency`).
`PILOT_MAX_REQUESTS_PER_SECOND` is a hard ceiling on new streams, as Istio's; so is `PILOT_PUSH_THROTTLE` on how many
are served at once (`pilot.core.throttle`).
"""

from collections import Counter, OrderedDict

from pilot.core.concurrency import Concurrency

PATIENCE = 1.0
"""Seconds after which whoever has said nothing while it is served gives its place to one that waits. It goes on being
served: it costs nothing while it is silent."""
LONGEST_OVER_CEILING = 1.0
"""Seconds that a stream over the rate ceiling may be delayed before it is refused, as in Istio."""


class Admission:
    """Streams that wait, and streams that are admitted, have not had their first complete config and talk."""

    def __init__(self, at_once: int = 0, per_second: float = 0.0) -> None:
        self.ceiling = at_once
        """What the limit is told never to pass; 0 is nothing."""
        self._concurrency = Concurrency(at_once)
        self.per_second = per_second
        self._next_slot = 0.0
        self._lines: OrderedDict[str, OrderedDict[int, float]] = OrderedDict()
        """By client, the one whose turn is next first: its streams, and when each may start by the rate."""
        self._clients: dict[int, str] = {}
        """Of streams that wait or have a place."""
        self._busy: OrderedDict[int, float] = OrderedDict()
        """When each was last heard, the longest silent first."""
        self._places: Counter[str] = Counter()

    @property
    def limit(self) -> int:
        """As many are served at once."""
        return self._concurrency.limit

    @property
    def most(self) -> int:
        """As many may be served at once when the process is never late."""
        return self._concurrency.most

    @property
    def _most_of_one(self) -> int:
        """Places that one client may have: it may keep all of them until their time is over."""
        return max(1, self.limit - self.limit // 4)

    @property
    def _is_full(self) -> bool:
        """Whether no place is free. What a client has of a time when it might have more keeps nobody else out."""
        if len(self._busy) <= self.limit:
            return len(self._busy) == self.limit
        most = self._most_of_one
        return sum(min(count, most) for count in self._places.values()) >= self.limit

    @property
    def backlog(self) -> int:
        """Streams that wait."""
        return len(self._clients) - len(self._busy)

    @property
    def busy(self) -> int:
        """Streams admitted but not complete."""
        return len(self._busy)

    def arrived(self, stream: int, client: str, now: float) -> int | None:
        """A new stream. Over the rate ceiling one has to be refused, which is told: the last one of the client that has
        most in line, so that one that asks without end shuts out no other."""
        start = now
        if self.per_second > 0:
            start = max(now, self._next_slot)
            if start - now > LONGEST_OVER_CEILING:
                return self._instead(stream, client)
            self._next_slot = start + 1 / self.per_second
        self._wait(stream, client, start)
        return None

    def _instead(self, stream: int, client: str) -> int:
        most = max(self._lines, key=lambda one: len(self._lines[one]), default=client)
        own = len(self._lines.get(client, ()))
        if most == client or len(self._lines[most]) <= own + 1:
            return stream
        last = next(reversed(self._lines[most]))
        start = self._lines[most][last]
        self.finished(last)
        self._wait(stream, client, start)
        return last

    def _wait(self, stream: int, client: str, start: float) -> None:
        self._lines.setdefault(client, OrderedDict())[stream] = start
        self._clients[stream] = client

    def admitted(self, now: float, most: int | None = None) -> list[int]:
        """The streams that may be read now: one of each client in turns, those of one in the order of arrival."""
        out: list[int] = []
        while len(out) != most and (found := self._first()) is not None and found[0] <= now:
            _, client, instead = found
            if instead is not None:
                self._give_up(instead)
            stream = next(iter(self._lines[client]))
            self._leave_line(stream, client)
            if client in self._lines:
                self._lines.move_to_end(client)
            self._busy[stream] = now
            self._places[client] += 1
            out.append(stream)
        return out

    def looked(self, late: float) -> None:
        """What the process did just now made it so many seconds late; to be said again and again while streams wait,
        and once when none does any more."""
        found = self._first()
        if found is None:
            self._concurrency.rested()
        else:
            self._concurrency.looked(late, short=found[2] is not None)

    def heard(self, stream: int, now: float) -> None:
        """A stream that is being served has said something."""
        if stream in self._busy:
            self._busy[stream] = now
            self._busy.move_to_end(stream)

    @property
    def next_start(self) -> float | None:
        """When the first waiting stream may start: by the rate, and once a place is free or its holder has been silent
        for too long. None when none waits."""
        found = self._first()
        return None if found is None else found[0]

    def _first(self) -> tuple[float, str, int | None] | None:
        """When somebody may start, of which client, and whose place it takes then, if none is free."""
        best: tuple[float, str, int | None] | None = None
        for client, line in self._lines.items():
            start, instead = next(iter(line.values())), None
            own = self._places[client] >= self._most_of_one
            if own or self._is_full:
                instead = next(one for one in self._busy if not own or self._clients[one] == client)
                start = max(start, self._busy[instead] + PATIENCE)
            if best is None or start < best[0]:
                best = (start, client, instead)
            if not own and self.per_second <= 0:
                break  # without a rate nobody waits for a time of its own
        return best

    def finished(self, stream: int) -> None:
        """The stream has its first complete config, or is gone."""
        if stream in self._busy:
            self._give_up(stream)
        elif (client := self._clients.pop(stream, None)) is not None:
            self._leave_line(stream, client)

    def _leave_line(self, stream: int, client: str) -> None:
        del self._lines[client][stream]
        if not self._lines[client]:
            del self._lines[client]

    def _give_up(self, stream: int) -> None:
        del self._busy[stream]
        client = self._clients.pop(stream)
        self._places[client] -= 1
        if not self._places[client]:
            del self._places[client]
