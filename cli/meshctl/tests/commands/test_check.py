"""What may be over in a moment is looked at again before it counts; what is wrong for good is told at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from meshctl.commands import check
from meshctl.core.check import Answer, Observed, Service


class Plane:
    """A control plane of one service that answers as it is told, the last answer again and again."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.looks = 0

    def observe(self) -> Observed:
        answer = self._answers[min(self.looks, len(self._answers) - 1)]
        self.looks += 1
        return Observed(client="1", at=datetime.now(UTC), services=(Service("odd", "http://odd", answer),))


WAITS = Answer({"ready": False, "conditions": {"store": {"ok": False}}})
READY = Answer({"ready": True})
SILENT = Answer(fault="timed out")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "LOOK_EVERY", 0)


def test_what_is_over_soon_is_no_finding() -> None:
    plane = Plane(WAITS, WAITS, READY)
    assert check.settled(plane, 60)[1] == []
    assert plane.looks == 3


def test_what_is_not_over_in_time_counts() -> None:
    plane = Plane(WAITS)
    (found,) = check.settled(plane, 0)[1]
    assert found.code == "ServiceNotReady"
    assert plane.looks == 1


def test_what_will_not_be_over_is_told_at_the_first_look() -> None:
    plane = Plane(SILENT, READY)
    (found,) = check.settled(plane, 60)[1]
    assert found.code == "ServiceSilent"
    assert plane.looks == 1
