import pytest
from meshcore.protocol import Protocol, select_protocol


@pytest.mark.parametrize(
    ("name", "number", "app_protocol", "expected"),
    [
        ("http", 80, "", Protocol.HTTP),
        ("http-web", 80, "", Protocol.HTTP),
        ("HTTP2-x", 80, "", Protocol.HTTP2),
        ("grpc-web-x", 80, "", Protocol.GRPC_WEB),
        ("grpc", 80, "", Protocol.GRPC),
        ("web", 80, "", Protocol.AUTO),
        ("", 3306, "", Protocol.TCP),
        ("", 9080, "", Protocol.AUTO),
        ("tcp", 80, "http", Protocol.HTTP),
        ("http", 80, "kubernetes.io/h2c", Protocol.HTTP2),
        ("http", 80, "example.com/own", Protocol.AUTO),
    ],
)
def test_selection(name, number, app_protocol, expected):
    assert select_protocol(name, number, app_protocol) is expected


def test_udp_is_udp_whatever_its_name():
    assert select_protocol("http", 80, "", "UDP") is Protocol.UDP


def test_families_do_not_overlap():
    for protocol in Protocol:
        assert not (protocol.is_http and protocol.is_tcp)
        assert not protocol.is_http2 or protocol.is_http
        assert not protocol.is_tls or protocol.is_tcp
