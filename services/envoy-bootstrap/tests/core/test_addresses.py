import pytest
from envoy_bootstrap.core.addresses import HostPort, UnixSocket
from meshcore.errors import MeshError


@pytest.mark.parametrize("text", ["127.0.0.1:80", "pilot.mesh:15012", "[fd00::1]:15012"])
def test_an_address_reads_as_it_is_written(text):
    assert str(HostPort.parse(text)) == text


@pytest.mark.parametrize("text", ["", "pilot", "pilot:", ":80", "pilot:0", "pilot:70000", "pilot:8o"])
def test_what_is_no_address(text):
    with pytest.raises(MeshError):
        HostPort.parse(text)


def test_a_socket_path_that_the_kernel_would_cut_is_refused_with_the_cure():
    with pytest.raises(MeshError, match="shorter STATE_DIR"):
        UnixSocket("/" + "x" * 107)
    UnixSocket("/" + "x" * 106)
