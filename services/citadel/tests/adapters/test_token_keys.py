import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.authentication import token_keys
from meshcore.authentication.token_keys import KeysUnavailable, TokenIssuer, TokenKeys, parse_keys
from meshcore.tls import load_identity, ssl_client_context

KEY = ec.generate_private_key(ec.SECP256R1())


async def test_the_issuer_may_go_and_issuance_goes_on_even_over_a_restart(
    identity_directory, issuer, start_citadel, sign
):
    async with start_citadel(identity_directory, issuer) as citadel, asyncio.timeout(60):
        await citadel.runtime.readiness.wait()
        token = issuer.token()
        assert await citadel.create(sign(KEY), token=token)
    url = issuer.url
    issuer.url = "https://127.0.0.1:1"
    gone = issuer.token(iss=url)
    async with start_citadel(
        identity_directory, issuer, token_issuer=url, token_discovery_url="https://127.0.0.1:1"
    ) as citadel:
        assert citadel.runtime.readiness.ready
        assert await citadel.create(sign(KEY), token=gone)


async def test_without_any_key_citadel_is_not_ready_but_certificates_still_renew(
    identity_directory, issuer, start_citadel, sign
):
    async with start_citadel(identity_directory, issuer, token_discovery_url="https://127.0.0.1:1") as citadel:
        assert citadel.runtime.readiness.conditions["token-keys"].ok is False
        assert (await citadel.refusal(sign(KEY), token=issuer.token()))[0] == "UNAUTHENTICATED"
        assert await citadel.create(sign(KEY), service="pilot")


@pytest.fixture
def long_pause(monkeypatch):
    """Until unknown keys are asked for again; ask for it before `citadel`."""
    monkeypatch.setattr(token_keys, "UNKNOWN_KEY_PAUSE", 3600.0)


async def test_a_new_key_of_the_issuer_is_learnt_from_the_first_token_and_unknown_keys_ask_once(
    long_pause, citadel, sign
):
    issuer = citadel.issuer
    before = len(issuer.asked)
    issuer.rotate("second")
    assert await citadel.create(sign(KEY), token=issuer.token())
    assert len(issuer.asked) == before + 2
    issuer.rotate("third")
    for _ in range(5):
        assert (await citadel.refusal(sign(KEY), token=issuer.token()))[0] == "UNAUTHENTICATED"
    assert len(issuer.asked) == before + 2
    assert issuer.authorizations == {f"Bearer {(citadel.directory / 'citadel' / 'galley-token').read_text()}"}


async def test_keys_at_another_host_or_of_another_issuer_are_not_taken(identity_directory, issuer):
    tls = ssl_client_context(load_identity(identity_directory / "citadel"))
    assert parse_keys(await TokenIssuer(issuer.url, tls).fetch())
    with pytest.raises(KeysUnavailable, match="another issuer"):
        await TokenIssuer("https://elsewhere", tls, discovery_url=issuer.url).fetch()
    issuer.jwks_url = "https://169.254.169.254/latest"
    with pytest.raises(KeysUnavailable, match="another host"):
        await TokenIssuer(issuer.url, tls).fetch()
    for url in ("http://169.254.169.254/latest", "https://[fd00:ec2::254]/keys", "file:///etc/passwd"):
        with pytest.raises(KeysUnavailable, match=r"out of bounds|no http"):
            await TokenIssuer(issuer.url, tls, jwks_url=url).fetch()


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"keys": 1}',
        '{"keys": []}',
        '{"keys": [{"kid": "a", "kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}',
        '{"keys": [{"kid": "a", "kty": "EC"}, 7]}',
    ],
)
def test_a_document_without_signing_keys_is_no_key_set(document):
    with pytest.raises(KeysUnavailable):
        parse_keys(document)


async def test_a_broken_copy_on_disk_is_ignored(tmp_path):
    copy = tmp_path / "token-keys.json"
    copy.write_text("{broken")
    keys = TokenKeys(TokenIssuer("https://x", None), copy)
    assert keys.keys == {}
    assert not keys.loaded.is_set()
    assert token_keys.REFRESH_EVERY > token_keys.UNKNOWN_KEY_PAUSE


def test_a_copy_that_is_not_even_text_does_not_stop_the_start(tmp_path):
    copy = tmp_path / "token-keys.json"
    copy.write_bytes(b"\xff\xfe torn")
    assert TokenKeys(TokenIssuer("https://nobody", None), copy).keys == {}
