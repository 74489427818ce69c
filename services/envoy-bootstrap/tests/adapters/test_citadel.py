"""The CA client: what proves the workload's identity, what is retried, what is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from envoy_bootstrap.adapters.citadel import CitadelClient
from envoy_bootstrap.adapters.workload_identity import WorkloadIdentity
from envoy_bootstrap.core.addresses import HostPort
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.testing.identity import make_ca
from meshcore.tls import Bundle, ServiceIdentity

ME = SpiffeId("cluster.local", "shop", "front")


def client(mesh: Any, **changes: Any) -> CitadelClient:
    options: dict[str, Any] = {
        "root_file": mesh.directory / "root-cert.pem",
        "token_file": mesh.directory / "token",
        "ttl": timedelta(hours=1),
        "rsa_key_size": None,
        "cluster_id": "east",
    }
    return CitadelClient(HostPort.parse(mesh.citadel_address), ME, **{**options, **changes})


async def test_the_token_is_used_once_and_then_the_certificate(mesh: Any) -> None:
    first = await client(mesh).issue(None)
    second = await client(mesh).issue(first)
    assert first.spiffe == second.spiffe == ME
    assert first.key != second.key, "every certificate has a key of its own"
    assert isinstance(load_pem_private_key(first.key.pem, None), ec.EllipticCurvePrivateKey)
    assert len(mesh.citadel.tokens) == 1


async def test_a_certificate_that_is_not_accepted_falls_back_to_the_token(mesh: Any) -> None:
    first = await client(mesh).issue(None)
    mesh.citadel.failures = [grpc.StatusCode.UNAUTHENTICATED]
    assert (await client(mesh).issue(first)).spiffe == ME
    assert len(mesh.citadel.tokens) == 2


async def test_an_expired_pair_proves_nothing(mesh: Any) -> None:
    expired = mesh.ca.issue(str(ME), ttl=timedelta(seconds=-1))
    await client(mesh).issue(expired)
    assert len(mesh.citadel.tokens) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, ErrorCode.UNAUTHENTICATED),
        (grpc.StatusCode.INVALID_ARGUMENT, ErrorCode.INVALID),
        (grpc.StatusCode.PERMISSION_DENIED, ErrorCode.PERMISSION_DENIED),
    ],
)
async def test_a_refusal_is_not_retried(mesh: Any, status: grpc.StatusCode, code: ErrorCode) -> None:
    mesh.citadel.failures = [status]
    with pytest.raises(MeshError) as caught:
        await client(mesh).issue(None)
    assert caught.value.code is code
    assert mesh.citadel.failures == []
    assert mesh.citadel.issued == 0
    assert "a-token" not in str(caught.value)


async def test_five_tries_and_no_more(mesh: Any) -> None:
    mesh.citadel.failures = [grpc.StatusCode.UNAVAILABLE] * 6
    with pytest.raises(MeshError) as caught:
        await client(mesh).issue(None)
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert len(mesh.citadel.failures) == 1


async def test_a_file_that_is_missing_is_named_by_its_variable(mesh: Any) -> None:
    with pytest.raises(MeshError, match="TOKEN_PATH: /no/such/token cannot be read"):
        await client(mesh, token_file=Path("/no/such/token")).issue(None)
    with pytest.raises(MeshError, match="CA_ROOT_CERT: /no/such/root cannot be read"):
        await client(mesh, root_file=Path("/no/such/root")).issue(None)


async def test_rsa_where_it_is_asked_for(mesh: Any) -> None:
    issued = await client(mesh, rsa_key_size=2048).issue(None)
    assert isinstance(load_pem_private_key(issued.key.pem, None), rsa.RSAPrivateKey)


async def test_roots_of_others_are_for_peers_and_not_for_the_agent_itself() -> None:
    """Attack 17: whoever holds the key of one could be Pilot or Citadel to the agent."""
    ours, others = make_ca(), make_ca("elsewhere")
    pair = ours.issue(str(ME))

    async def never(_: ServiceIdentity | None) -> ServiceIdentity:
        raise AssertionError("nothing is asked for")

    identity = WorkloadIdentity(never, ratio=0.5, jitter=0)
    identity.use(pair, datetime.now(UTC))
    identity.trust(Bundle(ours.root_pem, b"", others.root_pem))
    current = identity.current
    assert current is not None
    assert current.root == ours.root_pem
    assert identity.for_peers(current).root == ours.root_pem + others.root_pem
    identity.trust(Bundle(ours.root_pem))
    assert identity.for_peers(current).root == ours.root_pem
