import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshcore.errors import MeshError
from meshcore.xds import names


@given(st.integers(1, 65535), st.sampled_from(["", "v1"]), st.sampled_from(["a.b.svc.cluster.local", "x"]))
def test_cluster_names_read_back(port, subset, host):
    text = names.outbound_cluster(port, subset, host)
    parsed = names.parse_cluster_name(text)
    assert (parsed.port, parsed.subset, parsed.host) == (port, subset, host)
    assert str(parsed) == text


def test_the_names_are_those_of_istio():
    assert names.inbound_cluster(8080) == "inbound|8080||"
    assert names.outbound_cluster(80, "v1", "a.b") == "outbound|80|v1|a.b"
    assert names.cluster_sni(80, "v1", "a.b") == "outbound_.80_.v1_.a.b"
    assert names.listener_name("0.0.0.0", 80) == "0.0.0.0_80"
    assert names.virtual_host_name("::1", 80) == "[::1]:80"


@pytest.mark.parametrize("name", ["PassthroughCluster", "outbound|x||h", "a|80||h", "outbound|80|h"])
def test_foreign_names_are_refused(name):
    with pytest.raises(MeshError):
        names.parse_cluster_name(name)
