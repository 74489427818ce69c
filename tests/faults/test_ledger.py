"""The judges of the fault test, against stores and consumers that did wrong."""

from __future__ import annotations

import pytest

from tests.faults.ledger import Ledger, Values, fingerprint, judge_shown, states
from tests.faults.writers import is_whole

HISTORY: dict[int, Values] = {
    2: {"p0-left": "1", "p0-right": "1"},
    3: {"s4-1": "1"},
    4: {"p0-left": "2", "p0-right": "2"},
    5: {"s4-1": None},
}
STORED = {"p0-left": "2", "p0-right": "2"}


@pytest.fixture
async def ledger() -> Ledger:
    """Every write of that history was acknowledged, and a last one has no answer."""
    found = Ledger()
    for revision, values in HISTORY.items():
        await found.acknowledge(values, revision, found.doubt(values))
    found.doubt({"p0-left": "3", "p0-right": "3"})
    return found


def test_a_store_that_did_right(ledger: Ledger):
    assert ledger.complaints == []
    for late in ({}, {"p0-left": "3", "p0-right": "3"}):
        assert ledger.judge(STORED | late) == []
        history = HISTORY | ({6: late} if late else {})
        assert ledger.judge_history(history, is_whole) == []


@pytest.mark.parametrize(
    "stored",
    [
        {"p0-left": "2", "p0-right": "1"},
        {"p0-left": "2"},
        STORED | {"s4-1": "1"},
        STORED | {"s4-2": "1"},
    ],
    ids=["older", "lost", "came back", "from nowhere"],
)
def test_a_store_that_did_wrong(ledger: Ledger, stored: dict[str, str]):
    assert len(ledger.judge(stored)) == 1


@pytest.mark.parametrize(
    "history",
    [
        HISTORY | {4: {}},
        HISTORY | {4: {"p0-left": "2"}},
        HISTORY | {4: {"p0-left": "2", "p0-right": "1"}},
        HISTORY | {6: {"p0-left": "3"}},
        HISTORY | {6: {"p0-left": "4", "p0-right": "4"}},
        {number: values for number, values in HISTORY.items() if number != 3},
    ],
    ids=["empty", "half", "mixed", "half without an answer", "from nowhere", "lost"],
)
def test_a_history_that_did_wrong(ledger: Ledger, history: dict[int, Values]):
    assert ledger.judge_history(history, is_whole) != []


async def test_revisions_that_do_not_follow_the_order_of_answers(ledger: Ledger):
    await ledger.acknowledge({"s4-2": "2"}, 4, ledger.doubt({"s4-2": "2"}))
    assert len(ledger.complaints) == 2  # given twice, and older than what was acknowledged before it was sent


async def test_a_read_that_goes_back(ledger: Ledger):
    ledger.saw("p0-left", "3")
    assert ledger.complaints == []
    ledger.saw("p0-left", "1")
    assert len(ledger.complaints) == 1


def test_what_consumers_show():
    truth = states(HISTORY, 5)
    assert judge_shown([(0, fingerprint({})), (3, truth[3]), (5, fingerprint(STORED))], truth) == []
    half = fingerprint({"p0-left": "2", "p0-right": "1", "s4-1": "1"})
    for wrong in ((4, half), (3, truth[4]), (6, truth[5])):
        assert len(judge_shown([wrong], truth)) == 1
