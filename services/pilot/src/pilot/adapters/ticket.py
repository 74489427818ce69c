"""A stream's place among those that are being served their first config."""

from typing import Protocol


class Line(Protocol):
    """Who gives places, by number."""

    def heard(self, number: int) -> None:
        """The stream has said something."""

    def finished(self, number: int) -> None:
        """The stream is complete or gone."""


class Ticket:
    """One place."""

    def __init__(self, line: Line, number: int) -> None:
        self._line = line
        self._number = number
        self._done = False

    def heard(self) -> None:
        """The stream talks: it keeps its place for now."""
        if not self._done:
            self._line.heard(self._number)

    def done(self) -> None:
        """Let the next one in; safe to call twice."""
        if not self._done:
            self._done = True
            self._line.finished(self._number)
