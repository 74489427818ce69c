"""One pending push per stream."""

from pilot.core.push_queue import Push, PushQueue


def test_later_pushes_merge_into_the_pending_one():
    queue = PushQueue()
    assert queue.add(1, Push(5, 10.0, frozenset({"config"})))
    assert not queue.add(1, Push(7, 11.0, frozenset({"endpoint"})))
    assert len(queue) == 1
    assert queue.take(1) == Push(7, 10.0, frozenset({"config", "endpoint"}))
    assert queue.take(1) is None


def test_a_stream_that_ended_has_nothing_pending():
    queue = PushQueue()
    queue.add(1, Push(5, 10.0))
    queue.add(2, Push(5, 10.0))
    queue.forget(1)
    queue.forget(3)
    assert not queue.pending(1)
    assert queue.pending(2)
