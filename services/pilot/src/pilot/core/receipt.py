"""Convergence receipts: which proxies must take a config revision, and how far they are. Pure.

Who must get a revision is fixed when it is applied to the snapshot; streams that come later are served it, but are not
waited for. A revision with nothing but Secrets in it is no config: its receipt stands beside the others. Times are
seconds since the epoch.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import Any

from meshcore.xds.types import ENDPOINT_TYPE, SECRET_TYPE

from pilot.core.intake import Untaken
from pilot.core.pace import NO_TIME, Stage
from pilot.core.refusals import shortened

KEPT = 1000
LATE = 1.0
"""Seconds after which a stream is late that has not taken a revision."""
_FEW = 10
"""One in so many that are late are few."""
_WORDS = 256
"""Wordings of refusals that are shared."""


class Knowledge(StrEnum):
    """What one instance can say about a revision."""

    KNOWN = "known"
    AHEAD = "ahead"
    """Not seen here (yet)."""
    BEFORE = "before"
    """Older than what is kept, or than this instance."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A proxy that keeps what it had."""

    proxy: str
    type_url: str
    message: str
    configs: tuple[str, ...] = ()
    """The objects that made what it refused, as `<kind>/<namespace>/<name>@<revision>`."""


@dataclass(frozen=True, slots=True)
class Slowest:
    """The last proxy that acknowledged, and the seconds that its push spent by stage (`pilot.core.pace`)."""

    proxy: str
    seconds: Mapping[Stage, float]

    @property
    def cause(self) -> str:
        """The stage that took longest."""
        return str(max(self.seconds, key=lambda stage: self.seconds[stage], default=""))


@dataclass(frozen=True, slots=True)
class ReceiptAnswer:
    """One instance's part of a receipt. Proxies are named `<pod>.<namespace>`, sorted."""

    knowledge: Knowledge
    revision: int
    applied_revision: int = 0
    """The revision with which this one was applied: the same, or a later one that covers it."""
    commit_time: float | None = None
    last_ack_time: float | None = None
    count: int = 0
    acked: int = 0
    outstanding: tuple[str, ...] = ()
    failed: tuple[Refusal, ...] = ()
    gone: tuple[str, ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict)
    """By outstanding proxy: what its push waits for."""
    slowest: Slowest | None = None
    left_out: tuple[Untaken, ...] = ()

    @property
    def decided(self) -> bool:
        """Whether waiting longer can change nothing here."""
        return self.knowledge is not Knowledge.AHEAD and not self.outstanding


@dataclass(slots=True, eq=False)
class _Due:
    """Who must take something, by stream, and how far they are."""

    waiting: dict[int, str]
    count: int
    acked: int = 0
    last_ack: float | None = None
    failed: dict[str, Refusal] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    slowest: Slowest | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class _Receipt(_Due):
    """A revision of the config."""

    previous: int
    revision: int
    commit_time: float
    endpoints: int = 0
    """The number of the change of endpoints that the revision is; 0 for any other. Streams may take it while revisions
    before it wait."""
    opened: float = 0.0
    left_out: tuple[Untaken, ...] = ()


@dataclass(slots=True, eq=False, kw_only=True)
class _Aside(_Due):
    """A revision that is no config, so that no message has its number: it is taken with what the engine has as of a
    generation."""

    generation: int


class ReceiptLog:
    """The receipts of the last `kept` revisions of one instance. Streams are known by connection number."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._receipts: deque[_Receipt] = deque()
        self._open: dict[int, deque[_Receipt]] = {}
        self._began = 0
        self._newest = 0
        self._waiting = 0
        self._aside: dict[int, _Aside] = {}
        self._owing: dict[int, deque[_Aside]] = {}
        """As `_open`, of those beside the config."""
        self._words: dict[str, str] = {}

    def settled_everywhere(self, now: float) -> bool:
        """Whether no receipt waits for anybody who may be about to take it. A few who are late do not count: one that
        is stuck would be waited for for ever. Where many are late, it is us who are slow."""
        if self._waiting == 0:
            return True
        late = 0
        for waiting in self._open.values():
            if waiting:
                if now - waiting[0].opened <= LATE:
                    return False
                late += 1
        return late <= max(1, len(self._open) // _FEW)

    @property
    def newest(self) -> int:
        """The newest revision applied here."""
        return self._newest

    def restarted(self, revision: int) -> None:
        """A whole state was applied: nothing can be said about revisions up to it."""
        self._receipts.clear()
        self._open.clear()
        self._aside.clear()
        self._owing.clear()
        self._waiting = 0
        self._began = self._newest = revision

    def opened(
        self,
        previous: int,
        revision: int,
        commit_time: float,
        streams: Mapping[int, str],
        endpoints: int = 0,
        now: float = 0.0,
        left_out: tuple[Untaken, ...] = (),
    ) -> None:
        """The revisions after `previous` up to `revision` were applied but for what is `left_out`, and these streams
        must take them; `endpoints` is their number if they are a change of endpoints alone. `now` is of the clock of
        `settled_everywhere`."""
        due = dict(streams)
        receipt = _Receipt(
            due,
            len(due),
            previous=previous,
            revision=revision,
            commit_time=commit_time,
            endpoints=endpoints,
            opened=now,
            left_out=left_out,
        )
        self._receipts.append(receipt)
        self._newest = revision
        self._waiting += len(streams)
        for stream in streams:
            if (waiting := self._open.get(stream)) is None:
                waiting = self._open[stream] = deque()
            waiting.append(receipt)
        while len(self._receipts) > self._kept:
            self._forget_oldest()

    def opened_aside(self, revision: int, generation: int, streams: Mapping[int, str]) -> None:
        """A revision changed something beside the config (Secrets), and these streams must take it."""
        aside = self._aside[revision] = _Aside(dict(streams), len(streams), generation=generation)
        for stream in streams:
            self._owing.setdefault(stream, deque()).append(aside)
        if len(self._aside) > self._kept:
            oldest = self._aside.pop(next(iter(self._aside)))
            for stream in oldest.waiting:
                self._owing[stream].popleft()

    def left_out(self, revision: int, found: Untaken) -> bool:
        """Some proxies are given that revision without an object of it; True when a receipt says so that did not."""
        receipt = self._find(revision)
        if not isinstance(receipt, _Receipt) or found in receipt.left_out:
            return False
        receipt.left_out = (*receipt.left_out, found)
        return True

    def taken(self, stream: int, generation: int, now: float) -> bool:
        """The stream has taken everything up to a generation of the engine."""
        moved = False
        owing = self._owing.get(stream)
        while owing and owing[0].generation <= generation:
            aside = owing.popleft()
            del aside.waiting[stream]
            aside.acked += 1
            aside.last_ack = now
            moved = True
        return moved

    def owes(self, stream: int, revision: int) -> bool:
        """Whether a receipt waits for the stream to take something up to `revision`."""
        waiting = self._open.get(stream)
        return waiting is not None and len(waiting) > 0 and waiting[0].revision <= revision

    def settled(self, stream: int, revision: int, now: float, seconds: Mapping[Stage, float] = NO_TIME) -> bool:
        """The stream has taken everything up to `revision`; True when a receipt moved. `seconds` are those of its push
        by stage."""
        return _acknowledged(self._leaving(stream, revision), now, seconds)

    def settled_endpoints(
        self, stream: int, endpoints: int, now: float, seconds: Mapping[Stage, float] = NO_TIME
    ) -> bool:
        """As `settled`: everything that it has been given, in which the changes of endpoints up to this number are."""
        return _acknowledged(self._leaving_ahead(stream, endpoints), now, seconds)

    def refused(
        self,
        stream: int,
        revision: int,
        type_url: str,
        message: str,
        configs: tuple[str, ...] = (),
        endpoints: int = 0,
    ) -> bool:
        """The stream has refused a message that brought everything up to `revision`, and changes of endpoints up to
        that number if it was one of endpoints."""
        moved = False
        words = self._shared(shortened(message))
        ahead = self._leaving_ahead(stream, endpoints if type_url == ENDPOINT_TYPE else 0)
        for receipt, proxy in chain(self._leaving(stream, revision), ahead):
            receipt.failed[proxy] = Refusal(proxy, type_url, words, configs)
            moved = True
        for aside in self._owing.pop(stream, ()) if type_url == SECRET_TYPE else ():
            secret_user = aside.waiting.pop(stream)
            aside.failed[secret_user] = Refusal(secret_user, type_url, words, configs)
            moved = True
        return moved

    def _shared(self, words: str) -> str:
        """The proxies of a class refuse in the same words: one string for all of them."""
        if len(self._words) >= _WORDS:
            self._words.clear()
        return self._words.setdefault(words, words)

    def left(self, stream: int) -> bool:
        """The stream has ended."""
        moved = False
        for receipt, proxy in self._leaving(stream, self._newest):
            receipt.gone.append(proxy)
            moved = True
        for aside in self._owing.pop(stream, ()):
            aside.gone.append(aside.waiting.pop(stream))
            moved = True
        self._open.pop(stream, None)
        return moved

    def decided(self, revision: int) -> bool:
        """Whether `answer` is, without naming anybody: asked at every ACK while somebody waits for the receipt."""
        if (found := self._find(revision)) is not None:
            return not found.waiting
        return revision <= self._newest

    def answer(self, revision: int, stage_of: Callable[[int], str] = lambda _: "") -> ReceiptAnswer:
        """What this instance knows about a revision; `stage_of` says what a stream's push waits for."""
        found = self._find(revision)
        if found is None:
            return ReceiptAnswer(Knowledge.AHEAD if revision > self._newest else Knowledge.BEFORE, revision)
        applied, committed = revision, None
        left_out: tuple[Untaken, ...] = ()
        if isinstance(found, _Receipt):
            applied, committed, left_out = found.revision, found.commit_time, found.left_out
        known = ReceiptAnswer(Knowledge.KNOWN, revision, applied, committed, found.last_ack, **_counts(found))
        stages = {proxy: stage for stream, proxy in found.waiting.items() if (stage := stage_of(stream))}
        return replace(known, stages=stages, slowest=found.slowest, left_out=left_out)

    def _find(self, revision: int) -> _Due | None:
        """The receipt that covers a revision."""
        if (aside := self._aside.get(revision)) is not None:
            return aside
        if not self._began < revision <= self._newest:
            return None
        at = bisect_left(self._receipts, revision, key=lambda one: one.revision)
        return self._receipts[at] if at < len(self._receipts) and self._receipts[at].previous < revision else None

    def _forget_oldest(self) -> None:
        """Nobody waits for it any more; it is the first of those that wait for any stream."""
        oldest = self._receipts.popleft()
        self._began = oldest.revision
        self._waiting -= len(oldest.waiting)
        for stream in oldest.waiting:
            self._open[stream].popleft()

    def _leaving(self, stream: int, revision: int) -> Iterable[tuple[_Receipt, str]]:
        """Take the stream out of every receipt up to `revision` that still waits for it."""
        waiting = self._open.get(stream)
        while waiting and waiting[0].revision <= revision:
            receipt = waiting.popleft()
            self._waiting -= 1
            yield receipt, receipt.waiting.pop(stream)

    def _leaving_ahead(self, stream: int, endpoints: int) -> Iterable[tuple[_Receipt, str]]:
        """As `_leaving`, but only of changes of endpoints, up to this number."""
        waiting = self._open.get(stream, deque())
        for receipt in [receipt for receipt in waiting if 0 < receipt.endpoints <= endpoints]:
            waiting.remove(receipt)
            self._waiting -= 1
            yield receipt, receipt.waiting.pop(stream)


def _acknowledged(leaving: Iterable[tuple[_Receipt, str]], now: float, seconds: Mapping[Stage, float]) -> bool:
    moved = False
    for receipt, proxy in leaving:
        receipt.acked += 1
        if receipt.last_ack is None or now >= receipt.last_ack:
            receipt.last_ack = now
            receipt.slowest = Slowest(proxy, seconds) if seconds else None
        moved = True
    return moved


def _counts(receipt: _Due) -> dict[str, Any]:
    return {
        "count": receipt.count,
        "acked": receipt.acked,
        "outstanding": tuple(sorted(receipt.waiting.values())),
        "failed": tuple(receipt.failed[proxy] for proxy in sorted(receipt.failed)),
        "gone": tuple(sorted(receipt.gone)),
    }


def merged(answers: Mapping[str, ReceiptAnswer], missing: Iterable[str]) -> ReceiptAnswer | None:
    """One receipt from the parts of all instances, None when `answers` is empty.

    An instance that has not seen a revision which others have applied still owes its part; callers find it by its
    AHEAD answer and count it with the missing ones.
    """
    known = [answer for answer in answers.values() if answer.knowledge is Knowledge.KNOWN]
    if not known:
        return next(iter(answers.values()), None)
    return ReceiptAnswer(
        Knowledge.KNOWN,
        known[0].revision,
        max(answer.applied_revision for answer in known),
        min((answer.commit_time for answer in known if answer.commit_time is not None), default=None),
        max((answer.last_ack_time for answer in known if answer.last_ack_time is not None), default=None),
        sum(answer.count for answer in known),
        sum(answer.acked for answer in known),
        tuple(sorted(name for answer in known for name in answer.outstanding)),
        tuple(refusal for answer in known for refusal in answer.failed),
        tuple(sorted(name for answer in known for name in answer.gone)),
        {proxy: stage for answer in known for proxy, stage in answer.stages.items()},
        max(known, key=lambda answer: answer.last_ack_time or 0.0).slowest,
        tuple(sorted({one for answer in known for one in answer.left_out})),
    )
