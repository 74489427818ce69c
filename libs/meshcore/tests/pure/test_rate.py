from hypothesis import given
from hypothesis import strategies as st
from meshcore.rate import TokenBucket


def test_a_burst_is_served_then_the_rate():
    bucket = TokenBucket.full(rate=10, burst=3, now=0)
    for _ in range(3):
        bucket, wait = bucket.take(0)
        assert wait == 0
    bucket, wait = bucket.take(0)
    assert wait == 0.1
    assert bucket.take(0.1)[1] == 0


@given(st.lists(st.floats(0, 1), max_size=50))
def test_never_more_than_burst_and_rate_allow(pauses):
    bucket, now, served = TokenBucket.full(rate=5, burst=2, now=0), 0.0, 0
    for pause in pauses:
        now += pause
        bucket, wait = bucket.take(now)
        served += wait == 0
    assert served <= 2 + 5 * now + 1e-6


def test_what_cost_more_is_paid_before_the_next_token():
    bucket, _ = TokenBucket.full(rate=10, burst=5, now=0).take(0)
    bucket = bucket.charge(24)
    assert bucket.take(0)[1] == 2.1
    assert bucket.take(2.1)[1] == 0


def test_a_clock_that_goes_back_gives_nothing():
    bucket, _ = TokenBucket.full(rate=1, burst=1, now=100).take(100)
    assert bucket.take(50)[1] > 0
