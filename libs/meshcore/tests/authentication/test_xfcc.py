import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshcore.authentication.xfcc import ForwardedRefused, forwarded_identity

FRONT = "spiffe://cluster.local/ns/shop/sa/front"
OTHER = "spiffe://cluster.local/ns/istio-system/sa/pilot"


@pytest.mark.parametrize(
    "header",
    [
        f"URI={FRONT}",
        f'By=spiffe://x/ns/a/sa/b;Hash=abc;Subject="O=a, CN=b;c";URI={FRONT};DNS=x',
        f'uri="{FRONT}"',
        # What the gateway's client claimed stands before what the gateway itself has verified.
        f"URI={OTHER},Hash=1;URI={FRONT}",
        f'Subject="\\",URI={OTHER}";URI={FRONT}',
    ],
)
def test_the_last_element_names_the_caller(header):
    assert str(forwarded_identity(header)) == FRONT


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Hash=1",
        f"URI={FRONT};URI={OTHER}",
        f"URI={FRONT},Hash=1",
        "URI=https://cluster.local/ns/shop/sa/front",
        "URI=spiffe://cluster.local/shop/front",
        f'URI="{FRONT}',
        "URI=" + "x" * 20_000,
    ],
)
def test_anything_else_names_nobody(header):
    with pytest.raises(ForwardedRefused):
        forwarded_identity(header)


@given(st.text(max_size=200))
def test_no_header_makes_it_fail_otherwise(header):
    with contextlib.suppress(ForwardedRefused):
        assert forwarded_identity(header).namespace
