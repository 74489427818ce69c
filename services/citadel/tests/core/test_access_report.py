from datetime import UTC, datetime, timedelta

import pytest
from citadel.core.access_report import check_reporter, rows_of
from meshcore._generated.meshcore.audit.v1 import audit_pb2
from meshcore.access_record import LARGEST_BATCH
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

NOW = datetime(2026, 5, 4, tzinfo=UTC)
SHOP = SpiffeId("cluster.local", "shop", "front")
NODE = "sidecar~10.0.0.7~front-1.shop~shop.svc.cluster.local"


def report(*records: audit_pb2.AccessRecord, node_id: str = NODE, batch_id: str = "0" * 32) -> audit_pb2.ReportRequest:
    return audit_pb2.ReportRequest(batch_id=batch_id, node_id=node_id, records=records)


def record(**fields: object) -> audit_pb2.AccessRecord:
    return audit_pb2.AccessRecord(**({"verdict": audit_pb2.DENIED, "protocol": "HTTP/1.1"} | fields))


def refusal(request: audit_pb2.ReportRequest) -> MeshError:
    with pytest.raises(MeshError) as refused:
        rows_of(request, SHOP, NOW)
    return refused.value


def test_the_reporter_is_the_certificates_whatever_the_record_says():
    one = record(
        principal="spiffe://cluster.local/ns/shop/sa/caller",
        path="/pay",
        policy=audit_pb2.PolicyRule(namespace="shop", name="closed", rule=2),
    )
    one.start_time.FromDatetime(NOW - timedelta(seconds=3))
    (row,) = rows_of(report(one), SHOP, NOW)
    assert row["reporter"] == "spiffe://cluster.local/ns/shop/sa/front"
    assert (row["instance"], row["verdict"], row["path"]) == ("front-1", "denied", "/pay")
    assert (row["policy"], row["rule"], row["audit_policy"]) == ("shop/closed", 2, "")
    assert (row["started_at"], row["received_at"]) == (NOW - timedelta(seconds=3), NOW)


@pytest.mark.parametrize(
    "node_id",
    [
        "sidecar~10.0.0.7~front-1.bank~bank.svc.cluster.local",
        "sidecar~10.0.0.7~front.shop.bank~shop.svc.cluster.local",
        "router~10.0.0.7~front-1.istio-system~x",
    ],
)
def test_a_node_of_another_namespace_is_refused(node_id):
    error = refusal(report(record(), node_id=node_id))
    assert error.code is ErrorCode.PERMISSION_DENIED
    assert "'shop'" in error.detail


@pytest.mark.parametrize("node_id", ["", "front-1.shop", "a~b~c~d", "sidecar~1~.shop~x", "sidecar~1~a.shop\0~x"])
def test_a_node_id_of_another_form_is_refused(node_id):
    assert refusal(report(record(), node_id=node_id)).code is ErrorCode.INVALID


def test_a_name_with_dots_keeps_them():
    assert check_reporter("sidecar~10.0.0.7~a.b.shop~shop.svc.cluster.local", SHOP) == "a.b"


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (report(batch_id="short"), "batch_id"),
        (report(batch_id="0" * 65), "batch_id"),
        (report(*[record()] * (LARGEST_BATCH + 1)), "records"),
        (report(record(), record(path="x" * 513)), "records[1].path"),
        (report(record(reason="a\0b")), "records[0].reason"),
        (report(record(policy=audit_pb2.PolicyRule(name="x" * 254))), "records[0].policy.name"),
        (report(record(audit_policy=audit_pb2.PolicyRule(namespace="\0", name="x"))), "records[0].audit_policy"),
        (report(record(response_code=1000)), "records[0].response_code"),
        (report(record(verdict=audit_pb2.VERDICT_UNSPECIFIED)), "records[0].verdict"),
    ],
)
def test_what_cannot_be_stored_is_named_and_nothing_of_the_batch_is_taken(request_, named):
    error = refusal(request_)
    assert error.code is ErrorCode.INVALID
    assert named in error.detail


@pytest.mark.parametrize(("seconds", "nanos"), [(0, 0), (2**62, 0), (-(2**62), 0), (int(NOW.timestamp()) + 301, 0)])
def test_a_clock_that_is_plainly_wrong_is_not_believed(seconds, nanos):
    one = record()
    one.start_time.seconds, one.start_time.nanos = seconds, nanos
    assert rows_of(report(one), SHOP, NOW)[0]["started_at"] == NOW
