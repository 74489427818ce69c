from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy_bootstrap.core.csr import build_csr, private_key_pem
from envoy_bootstrap.core.issued import is_usable, read_issued
from envoy_bootstrap.core.secrets_resources import secrets_of
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.rotation import time_to_rotation
from meshcore.testing.identity import make_ca
from meshcore.xds.types import SECRET_TYPE

ME = SpiffeId("cluster.local", "shop", "front")


@pytest.fixture(scope="module")
def ca():
    return make_ca()


@pytest.fixture
def now():
    """When the test runs, not when it was collected: certificates are made in it."""
    return datetime.now(UTC)


def elements(identity):
    return [identity.chain.decode(), identity.root.decode()]


def test_what_the_ca_sends_becomes_an_identity(ca, now):
    made = ca.issue(str(ME))
    issued = read_issued(elements(made), made.key, ME, now)
    assert issued.chain == made.chain + made.root
    assert (issued.root, issued.spiffe, issued.not_after) == (made.root, ME, made.not_after)


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        ("another key", "another key"),
        ("another identity", "expected spiffe://cluster.local/ns/shop/sa/front"),
        ("expired", "not valid"),
        ("not yet valid", "not valid"),
        ("another root", "does not lead"),
        ("no chain", "no chain"),
        ("no certificate", "not a certificate"),
    ],
)
def test_a_wrong_answer_never_becomes_an_identity(ca, now, situation, reason):
    made = ca.issue(str(ME))
    key, answer = made.key, elements(made)
    if situation == "another key":
        key = ca.issue(str(ME)).key
    elif situation == "another identity":
        made = ca.issue("spiffe://cluster.local/ns/shop/sa/other")
        key, answer = made.key, elements(made)
    elif situation == "expired":
        now += timedelta(hours=2)
    elif situation == "not yet valid":
        now -= timedelta(hours=1)
    elif situation == "another root":
        answer = [answer[0], make_ca().root_pem.decode()]
    elif situation == "no chain":
        answer = answer[:1]
    else:
        answer = ["nonsense", answer[1]]
    with pytest.raises(MeshError, match=reason) as caught:
        read_issued(answer, key, ME, now)
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    ("ahead", "usable"), [(-10, False), (-5, False), (-3, True), (-2, True), (10, True), (59, True), (61, False)]
)
def test_attack_16_a_clock_that_differs_from_the_authoritys(ca, now, ahead, usable):
    """Two minutes of tolerance beside the two that the authority dates back; what is usable is not renewed at once.

    A clock of the authority that has jumped back by ten minutes is one of the agent that is ten minutes ahead.
    """
    made = ca.issue(str(ME), not_before=now - timedelta(minutes=2), ttl=timedelta(hours=1))
    clock = now + timedelta(minutes=ahead)
    assert is_usable(made, ME, clock) is usable
    if not usable:
        with pytest.raises(MeshError, match="not valid at this machine's time"):
            read_issued(elements(made), made.key, ME, clock)
        return
    issued = read_issued(elements(made), made.key, ME, clock)
    left = time_to_rotation(clock, clock, issued.not_after)
    assert timedelta() < left < issued.not_after - clock


def test_a_stored_pair_is_usable_until_it_expires_and_only_for_its_owner(ca, now):
    made = ca.issue(str(ME))
    assert is_usable(made, ME, now)
    assert not is_usable(made, SpiffeId("cluster.local", "shop", "other"), now)
    assert not is_usable(made, ME, made.not_after)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_the_request_is_istios(key):
    csr = x509.load_pem_x509_csr(build_csr(key, ME).encode())
    assert csr.is_signature_valid
    assert csr.subject.rfc4514_string() == "O="
    [extension] = csr.extensions
    assert extension.critical
    assert extension.value.get_values_for_type(x509.UniformResourceIdentifier) == [str(ME)]
    assert "redacted" in repr(private_key_pem(key))


def test_secrets_change_their_version_only_with_their_content(ca):
    one, two = ca.issue(str(ME)), ca.issue(str(ME))
    first, second = secrets_of(one)[SECRET_TYPE], secrets_of(two)[SECRET_TYPE]
    assert first["ROOTCA"] == second["ROOTCA"]
    assert first["default"].version != second["default"].version
    assert "PRIVATE" not in repr(first)


def test_roots_of_others_are_for_peers_and_not_for_pilot(ca):
    mine, others, lists = ca.issue(str(ME)), b"of others", b"lists"
    secrets = secrets_of(mine, others, lists)[SECRET_TYPE]
    read = {name: secret_pb2.Secret.FromString(one.body).validation_context for name, one in secrets.items()}
    assert read["ROOTCA"].trusted_ca.inline_bytes == mine.root + others
    assert read["ROOTCA-OF-PILOT"].trusted_ca.inline_bytes == mine.root
    assert {read[name].crl.inline_bytes for name in ("ROOTCA", "ROOTCA-OF-PILOT")} == {lists}
