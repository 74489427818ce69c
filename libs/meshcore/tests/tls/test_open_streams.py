"""What a client certificate has opened ends when it is revoked."""

import asyncio
from dataclasses import replace

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.testing.authorities import Authority, crl_pem
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity, until_revoked

CA = make_ca()
SHOWN = CA.issue("spiffe://cluster.local/ns/a/sa/client").certificate
LISTS = crl_pem(Authority("root", CA.key, CA.certificate), [SHOWN.serial_number])


@pytest.mark.parametrize("before", [True, False])
async def test_it_ends_whether_the_list_came_before_or_comes_now(before):
    identity = LiveIdentity(CA.issue("spiffe://cluster.local/ns/a/sa/server"))
    revoking = replace(identity.current, revoked=LISTS)
    if before:
        identity.replace(revoking)

    async def use():
        async with asyncio.timeout(30), until_revoked(identity, [SHOWN]):
            if not before:
                identity.replace(revoking)
            await asyncio.Event().wait()

    with pytest.raises(MeshError) as refused:
        await use()
    assert refused.value.code is ErrorCode.UNAUTHENTICATED


async def test_nobody_listens_any_more_when_it_is_over():
    identity = LiveIdentity(CA.issue("spiffe://cluster.local/ns/a/sa/server"))
    async with until_revoked(identity, [SHOWN]):
        assert identity._listeners
    assert not identity._listeners
