import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshcore.errors import MeshError
from meshcore.identity import SpiffeId

NAME = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)


@given(NAME, NAME, NAME)
def test_what_is_written_reads_back(domain, namespace, account):
    identity = SpiffeId(domain, namespace, account)
    assert SpiffeId.parse(str(identity)) == identity


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://",
        "http://td/ns/a/sa/b",
        "spiffe://td/ns/a/sa/b/c",
        "spiffe://td/ns/a",
        "spiffe://td/sa/a/ns/b",
        "spiffe://td/ns//sa/b",
        "spiffe://td/ns/a/sa/b c",
        "spiffe://td/ns/a/sa/../b",
    ],
)
def test_anything_else_is_refused(uri):
    with pytest.raises(MeshError):
        SpiffeId.parse(uri)
