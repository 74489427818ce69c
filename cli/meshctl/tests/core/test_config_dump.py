import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshctl.core import config_dump

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CONFIG = "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/reviews"
ROUTE_CONFIG = CONFIG.replace("destination-rule", "virtual-service")


@pytest.fixture(scope="module")
def certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    uri = x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/reviews")
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 0xABC, NOW - timedelta(days=1), NOW + timedelta(days=1)
    )
    made = made.add_extension(x509.SubjectAlternativeName([uri]), critical=True)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode()


def dump(name: str, **part: object) -> dict[str, object]:
    return {"configs": [{"@type": f"type.googleapis.com/envoy.admin.v3.{name}", **part}]}


def test_clusters() -> None:
    reviews = {
        "name": "outbound|9080|v1|reviews.shop.svc.cluster.local",
        "type": "EDS",
        "metadata": {"filter_metadata": {"istio": {"config": CONFIG}}},
    }
    document = dump(
        "ClustersConfigDump",
        static_clusters=[{"cluster": {"name": "xds-grpc", "type": "STATIC"}}],
        dynamic_active_clusters=[{"cluster": reviews}],
    )
    columns, rows = config_dump.cluster_table(config_dump.clusters(document))
    assert columns == ("SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE")
    assert rows == [
        ("reviews.shop.svc.cluster.local", "9080", "v1", "outbound", "EDS", "reviews.shop"),
        ("xds-grpc", "-", "-", "-", "STATIC", ""),
    ]


def test_listeners() -> None:
    chains = [
        {
            "filter_chain_match": {"transport_protocol": "tls", "application_protocols": ["istio"]},
            "filters": [{"typed_config": {"route_config": {"name": "inbound|9080||"}}}],
        },
        {"filters": [{"typed_config": {"cluster": "inbound|9080||"}}]},
        {"filters": [{"typed_config": {"rds": {"route_config_name": "http_proxy"}}}]},
    ]
    address = {"socket_address": {"address": "127.1.0.1", "port_value": 9080}}
    active = {"listener": {"address": address, "filter_chains": chains}}
    document = dump("ListenersConfigDump", dynamic_listeners=[{"active_state": active}])
    _, rows = config_dump.listener_table(config_dump.listeners(document))
    assert rows == [
        ("127.1.0.1", "9080", "ALL", "Cluster: inbound|9080||"),
        ("127.1.0.1", "9080", "ALL", "Route: http_proxy"),
        ("127.1.0.1", "9080", "Trans: tls; App: istio", "Inline Route: inbound|9080||"),
    ]


def test_routes() -> None:
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": "end-user"}]},
            "metadata": {"filter_metadata": {"istio": {"config": ROUTE_CONFIG}}},
        },
        {"match": {"path": "/exact"}},
    ]
    host = {"name": "reviews:9080", "domains": ["reviews", "reviews:9080"], "routes": routes}
    config = {"route_config": {"name": "http_proxy", "virtual_hosts": [host]}}
    document = dump("RoutesConfigDump", dynamic_route_configs=[config])
    _, rows = config_dump.route_table(config_dump.routes(document))
    assert rows == [
        ("http_proxy", "reviews:9080", "reviews + 1 more...", "/* [end-user]", "reviews.shop"),
        ("http_proxy", "reviews:9080", "reviews + 1 more...", "/exact", ""),
    ]


def test_endpoints() -> None:
    hosts = [
        {"address": {"socket_address": {"address": "127.1.0.2", "port_value": 9080}}, "health_status": {}},
        {"address": {"pipe": {"path": "/run/app.sock"}}, "health_status": {"eds_health_status": "UNHEALTHY"}},
    ]
    _, rows = config_dump.endpoint_table({"cluster_statuses": [{"name": "c", "host_statuses": hosts}]})
    assert rows == [("127.1.0.2:9080", "HEALTHY", "OK", "c"), ("unix:///run/app.sock", "UNHEALTHY", "OK", "c")]


def test_secrets(certificate: str) -> None:
    held = {"name": "default", "secret": {"tls_certificate": {"certificate_chain": {"inline_bytes": certificate}}}}
    root = {"name": "ROOTCA", "secret": {"validation_context": {"trusted_ca": {"inline_bytes": certificate}}}}
    document = dump("SecretsConfigDump", dynamic_active_secrets=[held], dynamic_warming_secrets=[root])
    _, rows = config_dump.secret_table(config_dump.secrets(document), NOW)
    times = ("2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z")
    assert rows == [
        ("ROOTCA", "CA", "WARMING", "true", "abc", *times, "cluster.local"),
        ("default", "Cert Chain", "ACTIVE", "true", "abc", *times, "cluster.local"),
    ]
    _, later = config_dump.secret_table(config_dump.secrets(document), NOW + timedelta(days=9))
    assert {row[3] for row in later} == {"false"}
