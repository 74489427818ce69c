import pytest
from hypothesis import given
from hypothesis import strategies as st
from injector.core.annotations import CHECKS, annotation_violations, require_valid
from meshcore.errors import MeshError


@pytest.mark.parametrize(
    "good",
    [
        {"sidecar.istio.io/interceptionMode": "TPROXY"},
        {"status.sidecar.istio.io/port": "0"},
        {"traffic.sidecar.istio.io/includeOutboundIPRanges": "*"},
        {"traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8, fd00::/8"},
        {"traffic.sidecar.istio.io/includeInboundPorts": ""},
        {"traffic.sidecar.istio.io/excludeInboundPorts": "22,9999"},
        {"sidecar.istio.io/proxyCPU": "100m", "sidecar.istio.io/proxyMemoryLimit": "1.5Gi"},
        {"proxy.istio.io/config": "concurrency: 2\nholdApplicationUntilProxyStarts: true\n"},
        {"sidecar.istio.io/userVolume": '{"cache": {"emptyDir": {}}}'},
        {"somebody.else/annotation": "any\nthing: at all"},
    ],
)
def test_what_istio_takes_is_taken(good):
    assert annotation_violations(good) == ()


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("sidecar.istio.io/interceptionMode", "redirect"),
        ("status.sidecar.istio.io/port", "65536"),
        ("status.sidecar.istio.io/port", "-1"),
        ("status.sidecar.istio.io/port", "\u0661\u0662"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "4294967296"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.1"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "*"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "*"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "22,http"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "22; rm -rf /"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "22 -j ACCEPT"),
        ("traffic.sidecar.istio.io/excludeInterfaces", "eth0 -j DROP"),
        ("istio.io/reroute-virtual-interfaces", "$(reboot)"),
        ("sidecar.istio.io/proxyMemory", "128Mi\n  privileged: true"),
        ("sidecar.istio.io/proxyCPU", "much"),
        ("sidecar.istio.io/proxyImage", 'evil"\nsecurityContext: {privileged: true}'),
        ("sidecar.istio.io/logLevel", "debug\x00"),
        ("sidecar.istio.io/agentLogLevel", "default:info\u2028x"),
        ("sidecar.istio.io/bootstrapOverride", "../secrets"),
        ("sidecar.istio.io/rewriteAppHTTPProbers", "yes"),
        ("sidecar.istio.io/userVolume", "[]"),
        ("sidecar.istio.io/userVolumeMount", "{" * 100_000),
        ("proxy.istio.io/config", "- not\n- a map"),
        ("proxy.istio.io/config", "!!python/object/apply:os.system [id]"),
        ("proxy.istio.io/config", "a: &a [x]\nb: *a\n"),
        ("proxy.istio.io/config", "a: " + "[" * 30_000),
        ("proxy.istio.io/config", "# " + "x" * 40_000),
    ],
)
def test_what_could_change_the_meaning_of_the_result_is_refused_by_name(name, bad):
    (violation,) = annotation_violations({name: bad})
    assert violation.field == f"metadata.annotations[{name}]"
    assert violation.expected
    assert "\n" not in str(violation)


def test_more_annotations_than_kubernetes_allows_are_not_even_parsed():
    (violation,) = annotation_violations({"traffic.sidecar.istio.io/excludeInboundPorts": "1," * 200_000})
    assert violation.field == "metadata.annotations"


def test_every_wrong_annotation_is_reported_at_once():
    wrong = {"status.sidecar.istio.io/port": "x", "sidecar.istio.io/proxyCPU": "x", "sidecar.istio.io/inject": "x"}
    with pytest.raises(MeshError) as caught:
        require_valid(wrong)
    assert len(caught.value.violations) == 2


@given(st.sampled_from(sorted(CHECKS)), st.text(max_size=40))
def test_any_text_is_judged_without_a_crash(name, text):
    for violation in annotation_violations({name: text}):
        assert violation.field.endswith(f"[{name}]")
