import pytest
from envoy_bootstrap.core.environment import Arguments, PodInfo, parse_environment
from envoy_bootstrap.core.pod_info import parse_pod_info

MINIMAL = {"POD_NAME": "a", "POD_NAMESPACE": "shop", "SERVICE_ACCOUNT": "front", "INSTANCE_IP": "10.0.0.1"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('a="b"', "b"),
        ('a=""', ""),
        (r'a="say \"x\"=1 \\ \n\tend"', 'say "x"=1 \\ \n\tend'),
        (r'a="\u00e4\x41\101"', "äAA"),
    ],
)
def test_a_line_is_a_key_and_an_escaped_value(line, value):
    assert parse_pod_info(line) == {"a": value}


@pytest.mark.parametrize("text", ["", "a=b", '="b"', 'a="b', "\n\n"])
def test_lines_of_another_form_are_passed_over(text):
    assert parse_pod_info(text + '\nk="v"') == {"k": "v"}


def test_the_files_are_the_nodes_labels_and_annotations_and_the_environments_count():
    pod = PodInfo(
        {"app": "old", "team": "x", "pod-template-hash": "1", "istio-locality": "north.one"},
        {"example.com/note": "1", "NAME": "mine"},
    )
    environment = {**MINIMAL, "ISTIO_METAJSON_LABELS": '{"app": "front"}'}
    node = parse_environment(environment, Arguments(), pod).node
    metadata = node["metadata"]
    assert metadata["LABELS"] == {"app": "front", "team": "x", "istio-locality": "north/one"}
    assert metadata["STATIC_LABELS"] == {"app": "front"}
    assert node["locality"] == {"region": "north", "zone": "one"}
    assert metadata["ANNOTATIONS"] == {"example.com/note": "1", "NAME": "mine"}
    assert (metadata["example.com/note"], metadata["NAME"]) == ("1", "a")
    assert node["cluster"] == "front.shop"


def test_annotations_of_the_pod_decide_on_its_statistics():
    pod = PodInfo(
        {},
        {"sidecar.istio.io/statsInclusionPrefixes": "http.{pod_ip}_,x", "sidecar.istio.io/statsEvictionInterval": "7s"},
    )
    config = parse_environment({**MINIMAL, "INSTANCE_IPS": "10.0.0.1,10.0.0.2"}, Arguments(), pod)
    assert config.stats.prefixes == ("http.10.0.0.1_", "http.10.0.0.2_", "x")
    assert config.stats.eviction is None, "no multiple of 5 s"
