from datetime import timedelta

from meshctl.core.receipts import Convergence, read_receipt

RECEIPT = {
    "revision": 7,
    "complete": False,
    "commit_time": "2026-01-01T00:00:00.000+00:00",
    "last_ack_time": "2026-01-01T00:00:00.042+00:00",
    "convergence_ms": 42.5,
    "proxies": {"count": 3, "acked": 1},
    "outstanding": ["a.ns", "c.ns"],
    "stages": {"a.ns": "ack"},
    "failed": [{"proxy": "b.ns", "type": "RDS", "error": "no cluster"}],
    "gone": [],
    "instances_missing": ["pilot-2"],
    "left_out": [{"config": "VirtualService/ns/deep@7", "error": "nested too deep"}],
}


def test_a_receipt() -> None:
    assert read_receipt(RECEIPT) == Convergence(
        revision=7,
        complete=False,
        proxies=3,
        took=timedelta(milliseconds=42.5),
        waiting=("a.ns (ack)", "c.ns"),
        failed=("b.ns (RDS: no cluster)",),
        silent=("pilot-2",),
        left_out=("VirtualService/ns/deep@7 (nested too deep)",),
    )


def test_a_receipt_of_a_pilot_that_does_not_tell_what_it_left_out() -> None:
    told = {name: value for name, value in RECEIPT.items() if name != "left_out"}
    assert read_receipt(told).left_out == ()


def test_a_revision_that_concerns_nobody_took_no_time() -> None:
    assert read_receipt(RECEIPT | {"convergence_ms": None}).took == timedelta()
