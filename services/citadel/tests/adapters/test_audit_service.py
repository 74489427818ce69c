import asyncio

import grpc
import pytest
from meshcore._generated.meshcore.audit.v1 import audit_pb2, audit_pb2_grpc
from meshcore.tls import grpc_root_credentials

NODE = "sidecar~10.0.0.7~front-1.shop~shop.svc.cluster.local"


def report(batch_id: str = "0" * 32, node_id: str = NODE, records: int = 1, lost: int = 0) -> audit_pb2.ReportRequest:
    one = audit_pb2.AccessRecord(
        verdict=audit_pb2.DENIED,
        principal="spiffe://cluster.local/ns/shop/sa/caller",
        path="/pay",
        policy=audit_pb2.PolicyRule(namespace="shop", name="closed", rule=1),
    )
    return audit_pb2.ReportRequest(batch_id=batch_id, node_id=node_id, records=[one] * records, lost=lost)


async def send(channel, request: audit_pb2.ReportRequest, **how) -> int:
    return (await audit_pb2_grpc.AuditServiceStub(channel).Report(request, timeout=60, **how)).stored


async def refusal(channel, request: audit_pb2.ReportRequest, **how) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await send(channel, request, **how)
    return refused.value.code().name


async def test_what_an_agent_reports_is_shown_as_its_identitys(citadel):
    front = await citadel.identity_of("shop", "front")
    async with citadel.channel(identity=front) as channel:
        assert await send(channel, report(lost=2)) == 1
        assert await send(channel, report(lost=2)) == 0
    shown = (await citadel.get("/api/v1/audit?verdict=denied&policy=shop/closed")).json()
    (item,) = shown["items"]
    assert item["reporter"] == "spiffe://cluster.local/ns/shop/sa/front"
    assert (item["instance"], item["principal"]) == ("front-1", "spiffe://cluster.local/ns/shop/sa/caller")
    assert (item["path"], item["rule"]) == ("/pay", 1)
    assert (await citadel.get("/api/v1/audit?verdict=allowed")).json()["items"] == []
    (reporter,) = (await citadel.get("/api/v1/audit/reporters")).json()["items"]
    assert (reporter["records"], reporter["lost"]) == (1, 2)
    metrics = (await citadel.get("/metrics")).text
    assert "citadel_audit_records_total" in metrics


async def test_nobody_reports_for_another_namespace_and_nobody_without_a_certificate(citadel):
    front = await citadel.identity_of("shop", "front")
    async with citadel.channel(identity=front) as channel:
        forged = report(node_id="sidecar~10.0.0.7~till-1.bank~bank.svc.cluster.local")
        assert await refusal(channel, forged) == "PERMISSION_DENIED"
        assert await refusal(channel, report(batch_id="x")) == "INVALID_ARGUMENT"
    async with citadel.channel() as channel:
        token = [("authorization", f"Bearer {citadel.issuer.token()}")]
        assert await refusal(channel, report(), metadata=token) == "UNAUTHENTICATED"
    root = (citadel.directory / "root-cert.pem").read_bytes()
    async with grpc.aio.secure_channel(f"127.0.0.1:{citadel.port}", grpc_root_credentials(root)) as channel:
        assert await refusal(channel, report()) == "UNAUTHENTICATED"
    assert (await citadel.get("/api/v1/audit")).json()["items"] == []


async def test_one_identity_cannot_take_more_than_its_rate(identity_directory, issuer, start_citadel):
    async with start_citadel(identity_directory, issuer, audit_rate=2.0) as citadel, asyncio.timeout(60):
        await citadel.runtime.readiness.wait()
        front, till = [await citadel.identity_of("shop", account) for account in ("front", "till")]
        async with citadel.channel(identity=front) as channel:
            assert await send(channel, report("a" * 16, records=300)) == 300
            assert await refusal(channel, report("b" * 16)) == "RESOURCE_EXHAUSTED"
        async with citadel.channel(identity=till) as channel:
            assert await send(channel, report("b" * 16)) == 1


async def test_certificates_are_issued_while_the_access_log_is_written(identity_directory, issuer, start_citadel):
    async with start_citadel(identity_directory, issuer, audit_rate=1e6) as citadel, asyncio.timeout(60):
        await citadel.runtime.readiness.wait()
        front = await citadel.identity_of("shop", "front")
        async with citadel.channel(identity=front) as channel:
            reports = [asyncio.ensure_future(send(channel, report(f"{at:016}", records=500))) for at in range(20)]
            for at in range(5):
                assert (await citadel.identity_of("shop", f"new-{at}")).chain
            assert await asyncio.gather(*reports) == [500] * 20


async def test_a_question_that_makes_no_sense_is_refused(citadel):
    for query in (
        "verdict=maybe",
        "limit=0",
        "limit=1001",
        "continue=x",
        "behind=-1",
        "since=now",
        f"policy={'x' * 1025}",
    ):
        assert (await citadel.get(f"/api/v1/audit?{query}")).status_code == 422, query


async def test_a_text_that_no_database_takes_finds_nothing(citadel):
    answer = await citadel.get("/api/v1/audit?principal=%00&policy=a%00")
    assert (answer.status_code, answer.json()["items"]) == (200, [])
