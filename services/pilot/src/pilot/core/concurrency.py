"""How many new streams are served their first config at once: as many as the process takes without being late. Pure.

Who is served costs a little at each of its steps. Where the process is what they wait for, more at once make none of
them faster, and everybody else slower: changes for those who are there, ACKs, heartbeats. Where they wait for their
clients or for the network, more at once are served sooner. Which of the two it is shows in how late the process comes
to what is due for what it has done itself: half of all looks are to find it later than `LATE`. That others use the
machine makes it late, too, but fewer at once would not mend that.
"""

LATE = 0.003
"""Seconds. From its socket to the streams a change goes through eight passes of the event loop or so, and it is to be
everywhere within 80 ms; half of them are to take no longer than this and the pause before a look together
(`pilot.adapters.line.LOOK`)."""
STEP = 1 / 16
"""The part of the limit by which it changes at a look."""
LEAST = 8
"""As many keep a process busy, whatever it is that makes it late, and an identity has places beside a greedy one."""
FIRST = 16
MOST = 512


class Concurrency:
    """The limit. A `ceiling` is one that is never passed; 0 is none."""

    def __init__(self, ceiling: int = 0) -> None:
        self.most = min(ceiling or MOST, MOST)
        """It is never passed."""
        self._least = min(LEAST, self.most)
        self._exact = float(min(FIRST, self.most))

    @property
    def limit(self) -> int:
        """At least one."""
        return int(self._exact)

    def looked(self, late: float, *, short: bool) -> None:
        """What the process did just now made it so many seconds late; `short` when the limit keeps somebody out."""
        if late > LATE:
            self._exact = max(self._exact * (1 - STEP), self._least)
        elif short:
            self._exact = min(self._exact * (1 + STEP), self.most)

    def rested(self) -> None:
        """Nobody waits: what was found out is of another time when somebody does again."""
        self._exact = float(min(FIRST, self.most))
