import json
from datetime import timedelta

import pytest
from envoy_bootstrap.core.addresses import HostPort
from envoy_bootstrap.core.environment import Arguments, parse_environment, with_foreign_sds
from envoy_bootstrap.core.node import agent_node
from envoy_bootstrap.core.probes import HttpGet, TcpSocket
from meshcore.errors import ErrorCode, MeshError

MINIMAL = {"POD_NAME": "a", "POD_NAMESPACE": "shop", "SERVICE_ACCOUNT": "front", "INSTANCE_IP": "10.0.0.1"}


def parse(**more):
    return parse_environment({**MINIMAL, **more}, Arguments())


def violations(**more):
    with pytest.raises(MeshError) as caught:
        parse(**more)
    assert caught.value.code is ErrorCode.INVALID
    return {violation.field for violation in caught.value.violations}


def test_istios_defaults():
    config = parse()
    assert config.pilot == HostPort("istiod.istio-system.svc", 15012)
    assert config.citadel == HostPort("citadel.istio-system.svc", 8060)
    assert str(config.identity) == "spiffe://cluster.local/ns/shop/sa/front"
    assert config.secret_ttl == timedelta(hours=24)
    assert (config.grace_ratio, config.grace_jitter) == (0.5, 0.01)
    assert config.proxy.drain_duration == timedelta(seconds=45)
    assert config.rsa_key_size is None
    assert config.listen_host == "0.0.0.0"
    assert config.status == HostPort("127.0.0.1", 15020)


@pytest.mark.parametrize(
    ("argument", "proxy_config", "limit", "threads"),
    [
        (None, "", "", 1),
        (None, "", "2", 2),
        (None, "concurrency: 3", "2", 3),
        (None, "concurrency: 0", "2", 0),
        (4, "concurrency: 3", "2", 4),
        (0, "concurrency: 3", "2", 3),
    ],
)
def test_threads_are_those_of_the_command_line_of_proxy_config_or_of_the_limit(argument, proxy_config, limit, threads):
    environment = {**MINIMAL, "PROXY_CONFIG": proxy_config, "ISTIO_CPU_LIMIT": limit}
    assert parse_environment(environment, Arguments(concurrency=argument)).concurrency == threads


def test_every_missing_variable_is_named_at_once():
    with pytest.raises(MeshError) as caught:
        parse_environment({}, Arguments())
    fields = {violation.field for violation in caught.value.violations}
    assert fields == {"POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT", "INSTANCE_IPS"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PILOT_ADDR", "nowhere"),
        ("CA_ADDR", "citadel:99999"),
        ("SECRET_TTL", "one day"),
        ("SECRET_GRACE_PERIOD_RATIO", "2"),
        ("SERVICE_ACCOUNT", "../other"),
        ("WORKLOAD_RSA_KEY_SIZE", "1024"),
        ("MESHCORE_APP_PROBE", "ftp://x"),
        ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "maybe"),
        ("ENVOY_STATUS_PORT", "x"),
        ("ISTIO_CPU_LIMIT", "half"),
    ],
)
def test_a_wrong_variable_is_named(name, value):
    assert violations(**{name: value}) == {name}


def test_wrong_addresses_and_proxy_config_fields_are_named():
    assert violations(INSTANCE_IPS="10.0.0.1,nonsense") == {"INSTANCE_IPS"}
    assert violations(PROXY_CONFIG='{"drainDuration": 5, "concurrency": "two"}') == {
        "PROXY_CONFIG.drainDuration",
        "PROXY_CONFIG.concurrency",
    }
    assert violations(PROXY_CONFIG="[]") == {"PROXY_CONFIG"}
    assert violations(ISTIO_METAJSON_LABELS="{") == {"ISTIO_META"}


def test_pilots_address_in_order_of_precedence():
    names = ["PROXY_CONFIG", "DISCOVERY_ADDRESS", "ISTIOD_ADDR", "PILOT_ADDR"]
    given = {}
    for number, name in enumerate(names, start=1):
        address = f"pilot-{number}:15012"
        given[name] = json.dumps({"discoveryAddress": address}) if name == "PROXY_CONFIG" else address
        assert str(parse(**given).pilot) == address


def test_a_workload_that_shares_its_machine_binds_its_own_address():
    config = parse(INSTANCE_IP="127.1.0.3", ISTIO_META_INTERCEPTION_MODE="NONE")
    assert config.listen_host == "127.1.0.3"
    assert config.status == HostPort("127.1.0.3", 15020)


def test_metadata_of_the_environment_wins_over_proxy_metadata_and_fixed_keys_over_both():
    proxy = json.dumps({"proxyMetadata": {"ISTIO_META_CLUSTER_ID": "west", "ISTIO_META_NETWORK": "n1"}})
    config = parse(PROXY_CONFIG=proxy, ISTIO_META_CLUSTER_ID="east", ISTIO_META_NAMESPACE="other")
    metadata = config.node["metadata"]
    assert (metadata["CLUSTER_ID"], metadata["NETWORK"], metadata["NAMESPACE"]) == ("east", "n1", "shop")
    assert config.cluster_id == "east"


def test_the_agents_node_is_the_proxys_and_says_so():
    node = parse(ISTIO_META_AUTO_REGISTER_GROUP="front").node
    agent = agent_node(node)
    assert agent["id"] == node["id"]
    assert agent["metadata"] == {**node["metadata"], "GENERATOR": "agent"}
    assert "GENERATOR" not in node["metadata"]


def test_rsa_only_where_it_is_asked_for():
    assert parse(WORKLOAD_RSA_KEY_SIZE="4096").rsa_key_size == 4096
    assert parse(WORKLOAD_RSA_KEY_SIZE="4096", ECC_SIGNATURE_ALGORITHM="ECDSA").rsa_key_size is None


def test_a_probe_without_host_means_the_application():
    config = parse(MESHCORE_APP_PROBE="http://:9080/health", ISTIO_META_MESHCORE_APP_ADDRESS="127.1.1.3")
    assert config.app.readiness.action == HttpGet("127.1.1.3", 9080, "/health")
    assert parse(MESHCORE_APP_PROBE="tcp://:9080").app.readiness.action == TcpSocket("10.0.0.1", 9080)


def test_a_domain_of_istios_template():
    config = parse_environment(MINIMAL, Arguments(domain="shop.svc.corp.example"))
    assert config.node["id"] == "sidecar~10.0.0.1~a.shop~shop.svc.corp.example"


@pytest.mark.parametrize("path", ["/run/socket", "../socket", "..", "./socket"])
def test_the_socket_of_an_identity_is_a_name_and_no_path(path):
    assert parse(WORKLOAD_IDENTITY_SOCKET_FILE="agent.sock").identity_socket == "agent.sock"
    assert violations(WORKLOAD_IDENTITY_SOCKET_FILE=path) == {"WORKLOAD_IDENTITY_SOCKET_FILE"}


def test_pilot_is_told_of_a_foreign_socket():
    config = parse()
    assert with_foreign_sds(config, "") is config
    foreign = with_foreign_sds(config, "/run/spire.sock")
    assert foreign.node["metadata"] == {**config.node["metadata"], "file-credential": "true"}
