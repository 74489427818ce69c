"""What istio-iptables is told: Istio's names, who wins, and texts that may never reach a rule."""

import pytest
from envoy_bootstrap.core.capture.config import HostFacts, build_config
from envoy_bootstrap.core.capture.flags import FLAGS, read_flags
from envoy_bootstrap.core.capture.pod import flags_of_pod, skip_reason
from envoy_bootstrap.core.capture.rules import capture_rules
from envoy_bootstrap.core.capture.texts import Kind
from hypothesis import given
from hypothesis import strategies as st
from meshcore.errors import MeshError

HOSTILE = (
    "80 -j ACCEPT",
    "80\n-A OUTPUT -j DROP",
    "80\nCOMMIT\n*filter",
    "80;reboot",
    "$(reboot)",
    "`reboot`",
    "80|cat",
    "-j",
    "--flush",
    "4294967296",
    "-1",
    "0x50",
    "80:90",
    "*,80",
    "\u0968",
    "10.0.0.0/33",
    "10.0.0.0/8\x00",
    "fe80::1%eth0/64",
    "::ffff:10.0.0.1/104",
    "eth0 -j ACCEPT",
    "a" * 70_000,
)
WORDS = [
    flag
    for flag in FLAGS
    if flag.kind not in (Kind.BOOLEAN, Kind.TEXT, Kind.OWNERS, Kind.OWNERS_OR_ALL, Kind.INTERFACES)
]


def refused(given_flags: dict, environment: dict | None = None) -> list[str]:
    with pytest.raises(MeshError) as raised:
        read_flags(given_flags, environment or {})
    return [violation.field for violation in raised.value.violations]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_attack_46_no_text_becomes_more_than_one_word_of_a_rule(text):
    told = {flag.name: text for flag in WORDS if not flag.is_variable_only}
    assert refused(told) == [f"--{name}" for name in told]
    variables = {flag.name.upper().replace("-", "_"): text for flag in WORDS if flag.name != "envoy-port"}
    assert refused({}, variables) == list(variables)


@given(st.text(max_size=20), st.sampled_from([flag for flag in FLAGS if flag.kind is not Kind.TEXT]))
def test_attack_46_whatever_is_taken_stays_within_its_words(text, flag):
    given_flags, environment = ({}, {flag.name: text}) if flag.is_variable_only else ({flag.name: text}, {})
    try:
        config = build_config(read_flags(given_flags, environment), HostFacts(("10.4.0.7", "fd00::7")))
    except MeshError:
        return
    for version in config.families:
        for rule in capture_rules(config, version):
            assert all(word and word.isascii() and word.isprintable() and " " not in word for word in rule.words)


@pytest.mark.parametrize("name", ["includeInboundPorts", "excludeOutboundIPRanges", "excludeInterfaces"])
def test_attack_46_an_annotation_that_is_wrong_stops_the_pod_and_is_named(name):
    annotation = f"traffic.sidecar.istio.io/{name}"
    with pytest.raises(MeshError) as raised:
        flags_of_pod(pod({annotation: "80 -j ACCEPT"}))
    assert [violation.field for violation in raised.value.violations] == [f"metadata.annotations[{annotation}]"]


def test_a_flag_wins_over_its_variable_and_a_variable_over_the_other():
    texts = read_flags(
        {"proxy-uid": "5"}, {"PROXY_UID": "6", "REDIRECT_DNS": "false", "ISTIO_META_DNS_CAPTURE": "true"}
    )
    assert (texts["proxy_uid"], texts["redirect_dns"], texts["envoy_port"]) == ("5", "false", "15001")
    assert read_flags({}, {"ENVOY_PORT": "1"})["envoy_port"] == "15001"


def test_every_violation_is_told_at_once():
    told = {"envoy-port": "http", "istio-service-exclude-cidr": "*", "istio-inbound-interception-mode": "NONE"}
    assert refused(told, {"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "10.0.0.1/32", "DRY_RUN": "perhaps"}) == [
        "--envoy-port",
        "--istio-inbound-interception-mode",
        "--istio-service-exclude-cidr",
        "DRY_RUN",
        "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",
    ]


def test_more_groups_than_one_rule_takes_are_refused():
    groups = ",".join(map(str, range(65)))
    with pytest.raises(MeshError, match="65 groups; at most 64"):
        build_config(read_flags({}, {"ISTIO_OUTBOUND_OWNER_GROUPS": groups}), HostFacts())


@pytest.mark.parametrize(
    ("addresses", "dual_stack", "families", "probed"),
    [
        (("10.4.0.7",), "true", (4,), (4,)),
        (("10.4.0.7", "fd00::7"), "false", (4,), (4,)),
        (("10.4.0.7", "fd00::7"), "true", (4, 6), (4, 6)),
        (("fd00::7", "fe80::1", "127.0.0.1"), "false", (4, 6), (6,)),
        ((), "true", (4,), (4,)),
    ],
)
def test_ipv6_is_captured_where_there_is_nothing_else_or_where_both_are_wanted(addresses, dual_stack, families, probed):
    config = build_config(read_flags({"dual-stack": dual_stack}, {}), HostFacts(addresses))
    assert (config.families, config.probed_families) == (families, probed)


def pod(annotations: dict | None = None, labels: dict | None = None, **proxy: object) -> dict:
    said = {"sidecar.istio.io/status": "{}", **(annotations or {})}
    metadata = {"annotations": {name: text for name, text in said.items() if text is not None}, "labels": labels or {}}
    container = {"name": "istio-proxy", "args": ["proxy", "sidecar"], **proxy}
    return {"metadata": metadata, "spec": {"containers": [{"name": "app"}, container]}}


INIT = {"metadata": pod()["metadata"], "spec": {**pod()["spec"], "initContainers": [{"name": "istio-init"}]}}
NATIVE = {"metadata": pod()["metadata"], "spec": {"initContainers": pod()["spec"]["containers"], "containers": None}}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (pod(), None),
        (NATIVE, None),
        (INIT, "it has the container istio-init"),
        ({"metadata": None, "spec": {"containers": [{"name": "app"}]}}, "it has no container istio-proxy"),
        (pod(env=[{"name": "DISABLE_ENVOY", "value": "true"}]), "its proxy is without Envoy"),
        (pod(args=["proxy", "router"]), "its proxy is a router"),
        (pod({"sidecar.istio.io/inject": "false"}), "it wants no sidecar"),
        (pod({"sidecar.istio.io/inject": "false"}, {"sidecar.istio.io/inject": "true"}), None),
        (pod({"sidecar.istio.io/inject": "perhaps"}), None),
        (pod({"sidecar.istio.io/status": None}), "nobody has injected a sidecar"),
    ],
)
def test_a_pod_is_captured_when_it_has_a_sidecar_and_nobody_else_does_it(found, reason):
    assert skip_reason(found) == reason
