from __future__ import annotations

from galley.core.retention import Floors, Retention, floors

RETENTION = Retention(revisions=1000)


def test_nothing_is_dropped_before_both_age_and_count_allow_it():
    start = Floors(0, 0)
    assert floors(RETENTION, start, 900, 800, 900, None) == Floors(0, 0)
    assert floors(RETENTION, start, 5000, 0, 0, None) == Floors(0, 0)
    assert floors(RETENTION, start, 5000, 3000, 4500, None) == Floors(3000, 4000)


def test_what_is_not_published_yet_stays():
    assert floors(RETENTION, Floors(0, 0), 5000, 5000, 5000, 11) == Floors(10, 10)


def test_floors_never_go_back():
    assert floors(RETENTION, Floors(70, 80), 100, 0, 0, 1) == Floors(70, 80)
