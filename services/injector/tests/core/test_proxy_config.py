import pytest
from injector.core.proxy_config import ProxyConfigs

SYSTEM, SHOP = "istio-system", "shop"


def written(namespace, name, created="2026-01-01T00:00:00Z", **spec):
    return {"metadata": {"namespace": namespace, "name": name, "creationTimestamp": created}, "spec": spec}


def selecting(**labels):
    return {"matchLabels": labels}


def effective(*documents, labels=None, namespace=SHOP, default=None, annotation=None):
    configs = ProxyConfigs.of(SYSTEM, documents)
    return configs.effective(namespace, labels or {}, default=default or {}, annotation=annotation or {})


ROOT = written(SYSTEM, "all", concurrency=2)
NAMESPACE = written(SHOP, "shop", concurrency=3)
WORKLOAD = written(SHOP, "front", concurrency=5, selector=selecting(app="front"))


@pytest.mark.parametrize(
    ("documents", "annotation", "concurrency"),
    [
        ((), {}, 1),
        ((ROOT,), {}, 2),
        ((ROOT, NAMESPACE), {}, 3),
        ((ROOT, NAMESPACE), {"concurrency": 4}, 4),
        ((ROOT, NAMESPACE, WORKLOAD), {"concurrency": 4}, 5),
    ],
)
def test_the_nearer_stands_over_the_farther_and_a_selector_over_the_annotation(documents, annotation, concurrency):
    found = effective(*documents, labels={"app": "front"}, default={"concurrency": 1}, annotation=annotation)
    assert found == {"concurrency": concurrency}


def test_variables_and_fields_merge_one_by_one():
    found = effective(
        written(SYSTEM, "all", environmentVariables={"A": "root", "B": "root"}, image={"imageType": "debug"}),
        written(SHOP, "shop", environmentVariables={"B": "shop", "C": "shop"}),
        written(SHOP, "front", concurrency=0, selector=selecting(app="front")),
        labels={"app": "front", "version": "v1"},
        default={"proxyMetadata": {"A": "mesh", "D": "mesh"}, "concurrency": 4, "drainDuration": "1s"},
    )
    assert found == {
        "proxyMetadata": {"A": "root", "B": "shop", "C": "shop", "D": "mesh"},
        "concurrency": 0,
        "drainDuration": "1s",
        "image": {"imageType": "debug"},
    }


def test_the_oldest_of_a_level_counts_alone():
    found = effective(
        written(SHOP, "b", "2026-01-01T00:00:00Z", concurrency=1),
        written(SHOP, "a", "2026-01-02T00:00:00Z", concurrency=2, image={"imageType": "debug"}),
        written(SHOP, "d", "2026-01-03T00:00:00Z", environmentVariables={"D": "1"}, selector=selecting(app="front")),
        written(SHOP, "c", "2026-01-03T00:00:00Z", environmentVariables={"C": "1"}, selector=selecting(app="front")),
        labels={"app": "front"},
    )
    assert found == {"concurrency": 1, "proxyMetadata": {"C": "1"}}


@pytest.mark.parametrize(
    "document",
    [
        written("other", "all", concurrency=2),
        written(SHOP, "another", concurrency=2, selector=selecting(app="back")),
        written(SHOP, "half", concurrency=2, selector=selecting(app="front", version="v2")),
        written(SHOP, "empty", concurrency=2, selector=selecting()),
        written(SYSTEM, "selects-in-its-own-namespace-only", concurrency=2, selector=selecting(app="front")),
    ],
)
def test_an_object_that_is_not_meant_does_nothing(document):
    assert effective(document, labels={"app": "front", "version": "v1"}) == {}


def test_a_workload_of_the_root_namespace_can_be_selected():
    document = written(SYSTEM, "edge", concurrency=2, selector=selecting(app="edge"))
    assert effective(document, namespace=SYSTEM, labels={"app": "edge"}) == {"concurrency": 2}
