"""Probes as Kubernetes and Istio write them."""

import json

import pytest
from envoy_bootstrap.core.environment import Arguments, parse_environment
from envoy_bootstrap.core.probes import AppProbe, Command, Grpc, HttpGet, TcpSocket, parse_action, parse_readiness_probe
from meshcore.errors import MeshError

MINIMAL = {"POD_NAME": "a", "POD_NAMESPACE": "shop", "SERVICE_ACCOUNT": "front", "INSTANCE_IP": "10.0.0.1"}


def parse(**more):
    return parse_environment({**MINIMAL, **more}, Arguments()).app


def violations(**more):
    with pytest.raises(MeshError) as caught:
        parse(**more)
    return [str(violation) for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("document", "action"),
    [
        ({"httpGet": {"port": 80}}, HttpGet("h", 80, "/")),
        ({"httpGet": {"port": 80, "path": "x", "scheme": "HTTPS", "host": "o"}}, HttpGet("o", 80, "/x", tls=True)),
        (
            {"httpGet": {"port": 80, "httpHeaders": [{"name": "a", "value": "b"}]}},
            HttpGet("h", 80, headers=(("a", "b"),)),
        ),
        ({"tcpSocket": {"port": 1}}, TcpSocket("h", 1)),
        ({"grpc": {"port": 2, "service": "s"}}, Grpc("h", 2, "s")),
        ({"exec": {"command": ["true", 1]}}, Command(("true", "1"))),
    ],
)
def test_each_way_to_ask(document, action):
    assert parse_action(document, "h") == action


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"httpGet": {"port": 80}, "tcpSocket": {"port": 80}},
        {"httpGet": {"port": "http"}},
        {"tcpSocket": {"port": 0}},
        {"exec": {"command": []}},
        {"grpc": None},
    ],
)
def test_what_is_no_probe(document):
    with pytest.raises(MeshError):
        parse_action(document, "h")


def test_istios_defaults_of_a_readiness_probe():
    probe = parse_readiness_probe({"tcpSocket": {"port": 80}}, "h")
    assert (probe.initial_delay, probe.timeout, probe.period) == (0, 1, 10)
    assert (probe.success_threshold, probe.failure_threshold) == (1, 1)
    assert (probe.pause(True), probe.pause(False), probe.pause(None)) == (10, 10, 10)


def test_the_workload_is_probed_as_its_proxy_config_says():
    document = {"httpGet": {"port": 8080, "path": "/h"}, "periodSeconds": 2, "failureThreshold": 3, "timeoutSeconds": 4}
    probe = parse(PROXY_CONFIG=json.dumps({"readinessProbe": document})).readiness
    assert probe.action == HttpGet("10.0.0.1", 8080, "/h")
    assert (probe.period, probe.failure_threshold, probe.timeout) == (2, 3, 4)
    assert violations(PROXY_CONFIG=json.dumps({"readinessProbe": {"httpGet": {"port": "x"}}})) == [
        "PROXY_CONFIG.readinessProbe: 'x' is not a port"
    ]


def test_the_applications_own_probes_go_to_where_it_listens():
    probers = json.dumps({"/app-health/web/livez": {"httpGet": {"port": 80, "path": "/l"}, "timeoutSeconds": 7}})
    path = "/app-health/web/livez"
    assert parse(ISTIO_KUBE_APP_PROBERS=probers).probes[path] == AppProbe(HttpGet("10.0.0.1", 80, "/l"), 7.0)
    legacy = parse(ISTIO_KUBE_APP_PROBERS=probers, REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION="true")
    assert legacy.probes[path].action.host == "127.0.0.1"
    machine = parse(ISTIO_KUBE_APP_PROBERS=probers, ISTIO_META_MESHCORE_APP_ADDRESS="127.1.1.4")
    assert machine.probes[path].action.host == "127.1.1.4"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"/app-health/web/else": {"httpGet": {"port": 80}}}, "ISTIO_KUBE_APP_PROBERS[/app-health/web/else]"),
        ({"/app-health/web/livez": {"exec": {"command": ["x"]}}}, "has a command"),
        ({"/app-health/web/livez": {}}, "must have exactly one"),
        ({"/app-health/web/livez": {"httpGet": {"port": 80}, "timeoutSeconds": "x"}}, "could not convert"),
        ([], "is not a JSON object"),
    ],
)
def test_wrong_probers_end_the_start_and_are_named(document, said):
    assert said in violations(ISTIO_KUBE_APP_PROBERS=json.dumps(document))[0]


def test_pages_of_metrics():
    def metrics(document):
        return parse(ISTIO_PROMETHEUS_ANNOTATIONS=json.dumps(document)).metrics

    assert metrics({"scrape": "true", "port": "8080", "path": "m"}) == (("127.0.0.1", 8080, "/m"),)
    assert metrics({"scrape": "true"}) == (("127.0.0.1", 80, "/metrics"),)
    assert metrics({"scrape": "", "port": "8080"}) == ()
    several = {"scrape": "true", "port": "1", "targets": [{"port": "8080", "path": "/a"}, {"port": "8081"}]}
    assert metrics(several) == (("127.0.0.1", 8080, "/a"), ("127.0.0.1", 8081, "/metrics"))
    assert "is not a port" in violations(ISTIO_PROMETHEUS_ANNOTATIONS='{"scrape": "true", "port": "x"}')[0]
    assert "is no address" in violations(MESHCORE_APP_METRICS="ftp://x")[0]
