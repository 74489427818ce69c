import pytest
from injector.core.app_probes import rewrite_container, should_rewrite


def container(**fields):
    return {"name": "app", "ports": [{"name": "http", "containerPort": 9080}], **fields}


@pytest.mark.parametrize(
    ("probe", "original"),
    [
        ({"httpGet": {"port": "http", "path": "/x", "scheme": "HTTPS"}}, {"path": "/x", "scheme": "HTTPS"}),
        ({"httpGet": {"port": 9080}}, {}),
        ({"tcpSocket": {"port": "http"}}, {}),
        ({"grpc": {"port": 9080, "service": "s"}}, {"service": "s"}),
    ],
)
def test_every_network_probe_goes_to_the_agent(probe, original):
    rewritten, probers = rewrite_container(container(livenessProbe={**probe, "periodSeconds": 7}), 15020)
    assert rewritten["livenessProbe"] == {
        "periodSeconds": 7,
        "httpGet": {"path": "/app-health/app/livez", "port": 15020},
    }
    (kind,) = probe
    assert probers == {"/app-health/app/livez": {kind: {"port": 9080, **original}}}


def test_headers_stay_on_the_request_of_kubelet():
    headers = [{"name": "Host", "value": "shop"}]
    rewritten, probers = rewrite_container(
        container(readinessProbe={"httpGet": {"port": 1, "httpHeaders": headers}}), 2
    )
    assert rewritten["readinessProbe"]["httpGet"]["httpHeaders"] == headers
    assert probers == {"/app-health/app/readyz": {"httpGet": {"port": 1}}}


@pytest.mark.parametrize(
    "probe",
    [
        {"exec": {"command": ["true"]}},
        {"httpGet": {"port": "no-such-port"}},
        {"httpGet": {"port": 15020, "path": "/app-health/app/livez"}},
        {},
    ],
)
def test_what_needs_no_agent_stays(probe):
    given = container(livenessProbe=probe)
    assert rewrite_container(given, 15020) == (given, {})


def test_the_annotation_wins_over_the_default():
    name = "sidecar.istio.io/rewriteAppHTTPProbers"
    assert should_rewrite({name: "true"}, by_default=False)
    assert not should_rewrite({name: "false"}, by_default=True)
    assert should_rewrite({}, by_default=True)
