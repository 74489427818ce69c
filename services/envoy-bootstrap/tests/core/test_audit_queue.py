from envoy_bootstrap.core.audit_queue import AuditQueue
from hypothesis import given
from hypothesis import strategies as st
from meshcore._generated.meshcore.audit.v1 import audit_pb2


def record(path: str) -> audit_pb2.AccessRecord:
    return audit_pb2.AccessRecord(path=path)


def paths(batch) -> list[str]:
    return [one.path for one in batch.records]


def test_an_empty_queue_has_nothing_to_send():
    assert AuditQueue(3).take(10, 1000) is None


def test_a_full_queue_keeps_the_first_and_counts_the_others():
    queue = AuditQueue(3)
    assert [queue.offer(record(str(number))) for number in range(5)] == [True, True, True, False, False]
    batch = queue.take(10, 1000)
    assert (paths(batch), batch.lost) == (["0", "1", "2"], 2)


def test_a_batch_stays_the_same_until_it_is_accepted():
    queue = AuditQueue(3)
    queue.offer(record("a"))
    first = queue.take(10, 1000)
    queue.offer(record("b"))
    assert queue.take(10, 1000) is first
    assert len(queue) == 2
    queue.accepted()
    assert paths(queue.take(10, 1000)) == ["b"]


def test_what_is_under_way_takes_its_room():
    queue = AuditQueue(2)
    queue.offer(record("a"))
    queue.take(10, 1000)
    assert queue.offer(record("b"))
    assert not queue.offer(record("c"))


def test_a_loss_is_told_once_and_what_is_lost_meanwhile_the_next_time():
    queue = AuditQueue(1)
    queue.offer(record("a"))
    queue.offer(record("b"))
    assert queue.take(10, 1000).lost == 1
    queue.offer(record("c"))
    queue.accepted()
    assert queue.lost == 1
    batch = queue.take(10, 1000)
    assert (batch.records, batch.lost) == ((), 1)
    queue.accepted()
    assert queue.take(10, 1000) is None


def test_a_refused_batch_is_a_loss():
    queue = AuditQueue(3)
    queue.offer(record("a"))
    queue.offer(record("b"))
    queue.take(10, 1000)
    assert queue.refused() == 2
    assert queue.lost == 2


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 7), st.integers(1, 400))
def test_batches_have_every_record_in_order_within_their_bounds(sizes, most, most_bytes):
    queue = AuditQueue(1000)
    records = [record(str(number) * size) for number, size in enumerate(sizes)]
    for one in records:
        queue.offer(one)
    found = []
    while (batch := queue.take(most, most_bytes)) is not None:
        assert 1 <= len(batch.records) <= most
        size = audit_pb2.ReportRequest(records=batch.records).ByteSize()
        assert len(batch.records) == 1 or size <= most_bytes
        found += batch.records
        queue.accepted()
    assert found == records
