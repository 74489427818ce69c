import pytest
from galley.core.mcp.access import AllowedIdentities, AllowedNetworks
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

PILOT = "spiffe://cluster.local/ns/istio-system/sa/pilot"


def test_only_those_on_the_list_come_in():
    allowed = AllowedIdentities.parse(f"{PILOT}, spiffe://td/ns/a/sa/b,")
    allowed.check(SpiffeId.parse(PILOT))
    with pytest.raises(MeshError) as caught:
        allowed.check(SpiffeId("cluster.local", "shop", "pilot"))
    assert caught.value.code is ErrorCode.PERMISSION_DENIED
    with pytest.raises(MeshError) as caught:
        allowed.check(None)
    assert caught.value.code is ErrorCode.UNAUTHENTICATED


def test_what_is_no_identity_or_network_is_refused_at_start():
    with pytest.raises(MeshError):
        AllowedIdentities.parse("pilot")
    with pytest.raises(MeshError):
        AllowedNetworks.parse("10.0.0.1/8")


@pytest.mark.parametrize(
    ("peer", "comes_in"),
    [
        ("ipv4:10.1.2.3:4711", True),
        ("ipv4:11.1.2.3:4711", False),
        ("ipv6:[fd00::1]:4711", True),
        ("ipv6:%5Bfd00::1%5D:4711", True),
        ("ipv6:[::ffff:10.1.2.3]:4711", True),
        ("ipv6:[fe80::1%25eth0]:4711", False),
        ("unix:/tmp/socket", False),
        ("ipv4:somewhere:1", False),
        ("", False),
    ],
)
def test_networks(peer, comes_in):
    allowed = AllowedNetworks.parse("10.0.0.0/8,fd00::/8")
    if comes_in:
        allowed.check(peer)
    else:
        with pytest.raises(MeshError):
            allowed.check(peer)


def test_no_network_lets_nobody_in():
    with pytest.raises(MeshError):
        AllowedNetworks.parse("").check("ipv4:127.0.0.1:1")
