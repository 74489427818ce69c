"""What a Gateway's server does with TLS."""

import pytest
from meshcore.model.gateway import Server


@pytest.mark.parametrize(
    ("protocol", "mode", "does"),
    [
        ("HTTP", None, {"is_http"}),
        ("HTTP", "PASSTHROUGH", {"is_http", "passes_through"}),
        ("grpc", None, {"is_http"}),
        ("HTTPS", "SIMPLE", {"is_http", "terminates_https"}),
        ("HTTPS", "ISTIO_MUTUAL", {"is_http", "terminates_https"}),
        ("HTTPS", "AUTO_PASSTHROUGH", {"passes_through"}),
        ("TLS", "MUTUAL", {"terminates_tcp_tls"}),
        ("TLS", "PASSTHROUGH", {"passes_through"}),
        ("TCP", None, set()),
    ],
)
def test_what_a_server_does(protocol, mode, does):
    tls = {} if mode is None else {"tls": {"mode": mode}}
    server = Server.model_validate({"port": {"number": 1, "name": "a", "protocol": protocol}, "hosts": ["*"], **tls})
    names = ("is_http", "passes_through", "terminates_https", "terminates_tcp_tls")
    assert {name for name in names if getattr(server, name)} == does
