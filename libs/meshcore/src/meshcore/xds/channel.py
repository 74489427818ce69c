"""One type on one stream: what is wanted, held, on its way, and what became of it. Pure."""

from dataclasses import dataclass, field
from typing import NamedTuple

from meshcore.xds.nack import refused_names
from meshcore.xds.request import Rejection
from meshcore.xds.resource import NOTHING, Resources
from meshcore.xds.subscription import Subscription

_NO_NAMES: frozenset[str] = frozenset()
"""One for all: each empty set takes 216 bytes, and every client has one of each type."""


class Flight(NamedTuple):
    """A message that waits for its ACK or NACK."""

    nonce: str
    revision: int
    change: int
    sent_at: float
    names: frozenset[str]
    removed: frozenset[str]


@dataclass(slots=True)
class Channel:
    """The state of one type. `held` is what was sent, acknowledged or not: a refused version counts as held, so it is
    not sent again until something changes."""

    type_url: str
    subscription: Subscription = field(default_factory=Subscription)
    held: Resources = field(default_factory=lambda: NOTHING)
    taken: Resources = field(default_factory=lambda: NOTHING, repr=False)
    """What the client has taken, each name in the last form that it did not refuse; a form that a client came with has
    no body."""
    flight: Flight | None = None
    force: frozenset[str] = _NO_NAMES
    """Names to send even if the client has this version."""
    answer: bool = False
    """Whether a message is owed even if it says nothing."""
    last_serial: int = 0
    last_nonce: str = ""
    acknowledged_nonce: str = ""
    answered: bool = False
    """Whether the client has ever acknowledged or refused a message of this type."""
    sent_at: float | None = None
    settled_revision: int = 0
    """The newest revision whose message of this type was answered, ACK or NACK; as this and the next two were when the
    session last looked at the channel (`AdsSession`)."""
    settled_change: int = 0
    """The newest change (target) of which nothing was left to be sent."""
    acknowledged_change: int = 0
    """The newest change whose message of this type was ACKed, or that needed none."""
    burden: int = field(default=0, repr=False)
    """Bytes, about, that are kept of what does not exist, because the client asks for it or came with it: an account
    that any request brings up to date, a stale one, too."""
    settled_on: Resources | None = field(default=None, repr=False)
    """The target of which the client has everything with what is on its way, as long as nothing else has changed."""
    rejection: Rejection | None = None
    rejected_names: frozenset[str] = frozenset()
    """Why something is still refused by the client, and which resources that may be."""

    def has_whole(self, target: Resources) -> bool:
        """Whether this very target has been sent whole; saves comparing what is known to be equal."""
        return self.settled_on is target and not self.force and not self.answer

    def reopen(self, change: int, revision: int) -> None:
        """Something may be to be sent again, after everything up to here was settled."""
        self.settled_change = change
        self.settled_revision = revision
        if self.rejection is None:
            self.acknowledged_change = change

    def launch(self, flight: Flight, serial: int, after: Resources, brings: Resources | None) -> None:
        """A message has been sent, with which the client has all of `brings` (None: that must be compared)."""
        self.flight = flight
        self.last_serial = serial
        self.last_nonce = flight.nonce
        self.sent_at = flight.sent_at
        self.settled_on = brings
        self.held = after
        self.force = _NO_NAMES
        self.answer = False

    def acknowledge(self) -> None:
        """The client has taken the message on its way."""
        flight = self._land()
        self.acknowledged_nonce = flight.nonce
        self.acknowledged_change = max(self.acknowledged_change, flight.change)
        if self.rejected_names:
            self.rejected_names -= flight.names | flight.removed
        if not self.rejected_names:
            self.rejection = None
        self._note_taken()

    def refuse(self, rejection: Rejection) -> None:
        """The client keeps what it had."""
        flight = self._land()
        self.rejection = rejection
        self.rejected_names |= refused_names(rejection.message, flight.names)
        self._note_taken()

    def settle(self, after: Resources, change: int, revision: int, target: Resources | None) -> None:
        """Nothing is on its way and nothing to be sent of `target` (None: it must be compared again)."""
        self.settled_on = target
        self.held = after
        self.force = _NO_NAMES
        self.settled_revision = revision
        self.settled_change = change
        if self.rejection is None:
            self.acknowledged_change = change
            self.taken = after

    def restart(self) -> None:
        """The client starts over on this type."""
        self.flight = None
        self.held = NOTHING
        self.settled_on = None

    def forget_revisions(self) -> None:
        """Revisions count anew: what was settled or is on its way belongs to none of the new ones."""
        self.settled_revision = 0
        if self.flight is not None:
            self.flight = self.flight._replace(revision=0)

    def _note_taken(self) -> None:
        """Called between two messages, when all of `held` is either taken or refused."""
        if not self.rejected_names:
            self.taken = self.held
            return
        before = {name: self.taken[name] for name in self.rejected_names if name in self.taken}
        self.taken = {name: one for name, one in self.held.items() if name not in self.rejected_names} | before

    def _land(self) -> Flight:
        flight = self.flight
        if flight is None:
            raise RuntimeError("an answer without a message on its way")
        self.flight = None
        self.answered = True
        self.settled_revision = max(self.settled_revision, flight.revision)
        return flight
