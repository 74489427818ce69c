"""Receipts: what is fixed when a revision is applied, and what becomes of every proxy in it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from meshcore.xds.types import SECRET_TYPE
from pilot.core.intake import Untaken
from pilot.core.pace import Pace, Stage
from pilot.core.receipt import KEPT, Knowledge, ReceiptAnswer, ReceiptLog, Slowest, merged


def log_at(revision=10):
    log = ReceiptLog()
    log.restarted(revision)
    return log


def test_a_revision_is_complete_when_every_stream_has_settled_it():
    log = log_at()
    log.opened(10, 11, 100.0, {1: "a", 2: "b"})
    assert log.settled(1, 11, 100.2)
    assert log.answer(11).outstanding == ("b",)
    assert not log.answer(11).decided
    assert not log.settled_everywhere(0.0)
    log.settled(2, 11, 100.3)
    assert log.settled_everywhere(0.0)
    answer = log.answer(11)
    assert answer.decided
    assert (answer.acked, answer.last_ack_time, answer.commit_time) == (2, 100.3, 100.0)


def test_settling_a_later_revision_settles_the_earlier_ones():
    log = log_at()
    log.opened(10, 11, 100.0, {1: "a"})
    log.opened(11, 12, 100.0, {1: "a"})
    log.settled(1, 12, 101.0)
    assert log.answer(11).acked == log.answer(12).acked == 1


def test_a_revision_that_concerns_nobody_is_decided_at_once():
    log = log_at()
    log.opened(10, 11, 100.0, {})
    assert log.answer(11).decided
    assert log.answer(11).count == 0


def test_a_refusal_is_shown_and_waited_for_no_longer():
    log = log_at()
    log.opened(10, 11, 100.0, {1: "a"})
    assert log.refused(1, 11, "cds", "bad cluster")
    log.settled(1, 11, 101.0)
    answer = log.answer(11)
    assert [(one.proxy, one.message) for one in answer.failed] == [("a", "bad cluster")]
    assert (answer.acked, answer.outstanding) == (0, ())


def test_who_leaves_does_not_block():
    log = log_at()
    log.opened(10, 11, 100.0, {1: "a", 2: "b"})
    assert log.left(1)
    assert log.answer(11).gone == ("a",)
    assert log.answer(11).outstanding == ("b",)
    assert not log.left(1)


def test_revisions_in_between_are_answered_by_the_one_that_covers_them():
    log = log_at()
    log.opened(10, 14, 100.0, {1: "a"})
    assert log.answer(12).applied_revision == 14


def test_unknown_and_forgotten_revisions_are_told_apart():
    log = log_at(10)
    assert log.answer(11).knowledge is Knowledge.AHEAD
    assert log.answer(10).knowledge is Knowledge.BEFORE
    for revision in range(11, 11 + KEPT + 1):
        log.opened(revision - 1, revision, 0.0, {})
    assert log.answer(11).knowledge is Knowledge.BEFORE
    assert log.answer(12).knowledge is Knowledge.KNOWN


def test_parts_of_all_instances_become_one():
    one = ReceiptAnswer(Knowledge.KNOWN, 11, 11, 100.0, 100.4, 2, 2)
    two = ReceiptAnswer(Knowledge.KNOWN, 11, 11, 100.0, 100.9, 1, 0, ("c",), (), ("d",))
    three = ReceiptAnswer(Knowledge.BEFORE, 11)
    whole = merged({"1": one, "2": two, "3": three}, ())
    assert (whole.count, whole.acked, whole.last_ack_time) == (3, 2, 100.9)
    assert (whole.outstanding, whole.gone) == (("c",), ("d",))
    assert merged({"3": three}, ()).knowledge is Knowledge.BEFORE
    assert merged({}, ("1",)) is None


def test_what_was_left_out_is_told_with_every_revision_that_it_may_be_of_and_waits_for_nobody():
    one, two = (Untaken(f"VirtualService/shop/{name}@12", "it cannot be read") for name in "ab")
    log = log_at()
    log.opened(10, 12, 100.0, {1: "p"}, left_out=(two, one))
    log.opened(12, 13, 100.0, {1: "p"})
    assert log.answer(11).left_out == log.answer(12).left_out == (two, one)
    assert log.answer(13).left_out == ()
    log.settled(1, 13, 101.0)
    assert log.answer(12).decided
    whole = merged({"1": log.answer(12), "2": ReceiptAnswer(Knowledge.KNOWN, 12, left_out=(one,))}, ())
    assert whole.left_out == (one, two)


class ReceiptMachine(RuleBasedStateMachine):
    """Whatever happens, each proxy of a receipt is in exactly one state."""

    def __init__(self):
        super().__init__()
        self.log = log_at(0)
        self.revision = 0
        self.streams = set()
        self.number = 0

    @rule()
    def connects(self):
        self.number += 1
        self.streams.add(self.number)

    @rule(data=st.data())
    def changes(self, data):
        due = {s: f"p{s}" for s in self.streams if data.draw(st.booleans())}
        self.log.opened(self.revision, self.revision + 1, 1.0, due)
        self.revision += 1

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def something_happens(self, data):
        stream = data.draw(st.sampled_from(sorted(self.streams)))
        revision = data.draw(st.integers(0, self.revision))
        match data.draw(st.sampled_from(["settle", "refuse", "leave"])):
            case "settle":
                self.log.settled(stream, revision, 2.0)
            case "refuse":
                self.log.refused(stream, revision, "cds", "no")
            case _:
                self.log.left(stream)
                self.streams.discard(stream)

    @invariant()
    def everybody_is_in_one_state(self):
        for revision in range(1, self.revision + 1):
            answer = self.log.answer(revision)
            assert answer.count == answer.acked + len(answer.outstanding) + len(answer.failed) + len(answer.gone)
            assert not set(answer.outstanding) - {f"p{stream}" for stream in self.streams}

    @invariant()
    def what_is_decided_can_be_asked_by_itself(self):
        for revision in range(self.revision + 2):
            assert self.log.decided(revision) is self.log.answer(revision).decided

    @invariant()
    def it_is_settled_when_nothing_is_out(self):
        out = any(self.log.answer(revision).outstanding for revision in range(1, self.revision + 1))
        assert self.log.settled_everywhere(0.0) is not out


TestReceiptLog = ReceiptMachine.TestCase
TestReceiptLog.settings = settings(derandomize=True, max_examples=60, stateful_step_count=30, deadline=None)


def test_a_revision_of_secrets_waits_for_those_who_use_them_beside_the_others():
    log = log_at()
    assert log.answer(11).knowledge is Knowledge.AHEAD
    log.opened_aside(11, 5, {1: "a", 2: "b", 3: "c"})
    log.opened(10, 12, 100.0, {1: "a"})
    assert log.answer(11).outstanding == ("a", "b", "c")
    assert log.settled_everywhere(0.0) is False
    log.settled(1, 12, 101.0)
    assert log.settled_everywhere(0.0), "what is beside the config holds no config back"
    assert not log.taken(1, 4, 101.0)
    assert log.taken(1, 5, 102.0)
    assert log.refused(2, 10, SECRET_TYPE, "no key")
    assert log.left(3)
    answer = log.answer(11)
    assert answer.decided
    assert (answer.count, answer.acked, answer.last_ack_time, answer.gone) == (3, 1, 102.0, ("c",))
    assert [(one.proxy, one.message) for one in answer.failed] == [("b", "no key")]
    assert log.answer(12).acked == 1


def test_no_more_revisions_of_secrets_are_kept_than_others():
    log = ReceiptLog(kept=2)
    for revision in (1, 2, 3):
        log.opened_aside(revision, 1, {})
    assert [log.answer(revision).knowledge for revision in (1, 2, 3)] == [
        Knowledge.AHEAD,
        Knowledge.KNOWN,
        Knowledge.KNOWN,
    ]


def test_who_never_answers_is_counted_out_with_the_receipts_that_go():
    log = ReceiptLog(kept=3)
    log.restarted(10)
    for revision in range(11, 1011):
        log.opened(revision - 1, revision, 100.0, {1: "silent", 2: "b"})
        log.settled(2, revision, 100.0)
        log.opened_aside(2000 + revision, revision, {1: "silent", 2: "b"})
        log.refused(2, 0, SECRET_TYPE, "no key")
    assert len(log._open[1]) == len(log._owing[1]) == 3
    assert not log.settled_everywhere(0.0)
    assert not log._owing.get(2)
    assert log.settled(1, 1009, 101.0)
    assert log.left(1)
    assert log.settled_everywhere(0.0)
    assert [(log.answer(revision).acked, log.answer(revision).gone) for revision in (1008, 1009, 1010)] == [
        (2, ()),
        (2, ()),
        (1, ("silent",)),
    ]
    assert log.answer(3010).gone == ("silent",)


def test_words_of_refusals_are_cut_and_kept_once():
    log = log_at()
    log.opened(10, 11, 100.0, {1: "a", 2: "b"})
    for stream in (1, 2):
        log.refused(stream, 11, "cds", "".join(["no ", "x" * 60_000]))
    one, two = log.answer(11).failed
    assert one.message is two.message
    assert one.message.startswith("no x")
    assert len(one.message) == 1000
    for number in range(2000):
        log.refused(1, 11, "cds", str(number))
    assert len(log._words) < 1000


def test_the_last_one_says_where_its_time_went_and_who_is_out_what_it_waits_for():
    log = ReceiptLog()
    log.restarted(10)
    log.opened(10, 11, 100.0, {1: "a.shop", 2: "b.shop", 3: "c.shop"})
    log.settled(2, 11, 100.4, {Stage.QUEUE: 0.1, Stage.ACK: 0.3})
    log.settled(1, 11, 100.2, {Stage.QUEUE: 0.2})
    answer = log.answer(11, {3: Stage.SEND}.get)
    assert answer.slowest == Slowest("b.shop", {Stage.QUEUE: 0.1, Stage.ACK: 0.3})
    assert answer.slowest.cause == "ack"
    assert answer.stages == {"c.shop": "send"}
    other = ReceiptLog()
    other.restarted(10)
    other.opened(10, 11, 100.0, {1: "d.shop"})
    other.settled(1, 11, 100.9, {Stage.COMPILE: 0.9})
    whole = merged({"pilot-1": answer, "pilot-2": other.answer(11)}, ())
    assert whole.slowest == Slowest("d.shop", {Stage.COMPILE: 0.9})
    assert whole.stages == {"c.shop": "send"}


def test_a_push_spends_its_time_in_stages():
    pace = Pace()
    assert pace.spent(1.0) == {}
    for stage, now in (
        (Stage.QUEUE, 1.0),
        (Stage.COMPILE, 1.5),
        (Stage.SEND, 1.6),
        (Stage.ACK, 1.7),
        (Stage.SEND, 2.0),
    ):
        pace.enters(stage, now)
        assert pace.stage is stage
    pace.enters(Stage.ACK, 2.5)
    spent = {stage: round(seconds, 3) for stage, seconds in pace.spent(3.0).items()}
    assert spent == {Stage.QUEUE: 0.5, Stage.COMPILE: 0.1, Stage.SEND: 0.6, Stage.ACK: 0.8}
    pace.ends()
    assert (pace.stage, pace.spent(4.0)) == (None, {})
    pace.enters(Stage.QUEUE, 9.0)
    assert pace.spent(9.5) == {Stage.QUEUE: 0.5}


def test_a_few_streams_that_are_late_are_not_waited_for():
    log = ReceiptLog()
    everybody = {number: f"p{number}" for number in range(20)}
    log.opened(0, 1, 0.0, everybody, now=10.0)
    assert not log.settled_everywhere(30.0), "where all are late it is us who are slow"
    for number in range(2, 20):
        log.settled(number, 1, 0.0)
    assert not log.settled_everywhere(10.9)
    assert log.settled_everywhere(11.1)
    log.opened(1, 2, 0.0, everybody, now=20.0)
    assert not log.settled_everywhere(20.1), "others owe it, too"
    for number in range(2, 20):
        log.settled(number, 2, 0.0)
    assert log.settled_everywhere(20.1), "who is late with one is late with the next"
    log.settled(1, 2, 0.0)
    log.opened(2, 3, 0.0, {1: "p1"}, now=30.0)
    assert not log.settled_everywhere(30.1), "it is late no longer"
