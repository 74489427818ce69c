import pytest
from injector.core.prometheus import merge_metrics
from meshcore.errors import MeshError

OURS = {"prometheus.io/port": "15020", "prometheus.io/path": "/stats/prometheus", "prometheus.io/scrape": "true"}


def merged(annotations, by_default=True, previous=""):
    result = merge_metrics(annotations, 15020, by_default=by_default, previous=previous)
    return dict(result.annotations), result.application


def test_every_spelling_of_the_applications_annotations_is_replaced():
    said = {"prometheus.io/scrape": "true", "prometheus_io_port": "9090", "prometheus.io.path": "/m", "other": "stays"}
    assert merged(said) == ({"other": "stays", **OURS}, {"scrape": "true", "path": "/m", "port": "9090"})


def test_a_pod_that_says_nothing_is_scraped_too():
    assert merged({}) == (OURS, None)


@pytest.mark.parametrize(
    ("annotations", "by_default"),
    [
        ({"prometheus.io/scrape": "false"}, True),
        ({"prometheus.istio.io/merge-metrics": "false"}, True),
        ({}, False),
    ],
)
def test_who_does_not_want_it_is_left_alone(annotations, by_default):
    assert merged(annotations, by_default) == (annotations, None)


def test_several_targets_travel_and_the_first_stands_for_agents_that_know_one():
    annotations, application = merged({"prometheus.istio.io/scrape-targets": "8080:/metrics, 9100"})
    assert annotations == OURS
    targets = [{"port": "8080", "path": "/metrics"}, {"port": "9100", "path": "/metrics"}]
    assert application == {"scrape": "true", "path": "/metrics", "port": "8080", "targets": targets}


def test_what_was_merged_before_is_known_from_the_agents_variable():
    assert merged(OURS, previous='{"port": "9090"}') == (OURS, {"port": "9090"})
    assert merged(OURS, previous="{broken") == (OURS, None)


@pytest.mark.parametrize("text", ["http:/metrics", "0:/x", "70000:/x", ":/x"])
def test_a_target_without_a_port_is_refused(text):
    with pytest.raises(MeshError, match="not a target"):
        merged({"prometheus.istio.io/scrape-targets": text})


@pytest.mark.parametrize("port", ["15000", "15020", "15090"])
def test_the_sidecars_own_ports_are_refused(port):
    with pytest.raises(MeshError, match="belongs to the sidecar"):
        merged({"prometheus.istio.io/scrape-targets": f"{port}:/metrics"})
