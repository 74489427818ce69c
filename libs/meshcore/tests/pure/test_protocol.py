import pytest
from meshcore.protocol import Protocol, select_protocol


@pytest.mark.parametrize(
    ("name", "number", "app_protocol", "expected"),
    [
        ("http", 80, None, Protocol.HTTP),
        ("http-web", 80, None, Protocol.HTTP),
        ("HTTP2-x", 80, None, Protocol.HTTP2),
        ("grpc-web-x", 80, None, Protocol.GRPC_WEB),
        ("grpc", 80, None, Protocol.GRPC),
        ("web", 80, None, Protocol.AUTO),
        ("", 3306, None, Protocol.TCP),
        ("", 9080, None, Protocol.AUTO),
        ("tcp", 80, "http", Protocol.HTTP),
        ("http", 80, "kubernetes.io/h2c", Protocol.HTTP2),
        ("http", 80, "example.com/own", Protocol.AUTO),
        ("", 80, "http-own", Protocol.HTTP),
        ("http", 3306, "own", Protocol.TCP),
        ("http", 80, "", Protocol.AUTO),
    ],
)
def test_selection(name, number, app_protocol, expected):
    assert select_protocol(name, number, app_protocol) is expected


def test_udp_is_udp_whatever_its_name():
    assert select_protocol("http", 80, None, "UDP") is Protocol.UDP


def test_families_do_not_overlap():
    for protocol in Protocol:
        assert not (protocol.is_http and protocol.is_tcp)
        assert not protocol.is_http2 or protocol.is_http
        assert not protocol.is_tls or protocol.is_tcp
