from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from meshcore.rotation import rotation_time, should_rotate, time_to_rotation

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_half_of_the_life_is_left_at_rotation():
    assert rotation_time(NOW, NOW + DAY) == NOW + DAY / 2
    assert not should_rotate(NOW + timedelta(hours=11, minutes=59), NOW, NOW + DAY)
    assert should_rotate(NOW + timedelta(hours=12), NOW, NOW + DAY)
    assert time_to_rotation(NOW, NOW, NOW + DAY) == timedelta(hours=12)
    assert time_to_rotation(NOW + 2 * DAY, NOW, NOW + DAY) == timedelta()


@given(
    life=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=4000)),
    ratio=st.floats(0, 1),
    jitter=st.floats(-1, 1),
)
def test_rotation_always_falls_into_the_life(life, ratio, jitter):
    """Attack 16."""
    moment = rotation_time(NOW, NOW + life, ratio, jitter)
    assert NOW - timedelta(microseconds=1) <= moment <= NOW + life
    assert time_to_rotation(NOW, NOW, NOW + life, ratio, jitter) >= timedelta()
    assert should_rotate(NOW + life, NOW, NOW + life, ratio, jitter)
