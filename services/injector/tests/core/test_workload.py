import pytest
from injector.core.workload import Workload, workload_of_pod


def pod(owner=None, labels=None, **metadata):
    owners = [] if owner is None else [{"apiVersion": owner[0], "kind": owner[1], "name": owner[2], "controller": True}]
    return {"metadata": {**metadata, "labels": labels or {}, "ownerReferences": owners}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pod(name="solo"), Workload("v1", "Pod", "solo")),
        (pod(generateName="front-"), Workload("v1", "Pod", "front")),
        (
            pod(("apps/v1", "ReplicaSet", "front-6d4b75cb6d"), {"pod-template-hash": "6d4b75cb6d"}),
            Workload("apps/v1", "Deployment", "front"),
        ),
        (pod(("apps/v1", "ReplicaSet", "bare")), Workload("apps/v1", "ReplicaSet", "bare")),
        (pod(("apps/v1", "StatefulSet", "db")), Workload("apps/v1", "StatefulSet", "db")),
        (pod(("batch/v1", "Job", "backup-28391040")), Workload("batch/v1", "CronJob", "backup")),
        (pod(("batch/v1", "Job", "migrate")), Workload("batch/v1", "Job", "migrate")),
    ],
)
def test_the_owner_is_the_one_that_a_person_would_name(given, expected):
    assert workload_of_pod(given) == expected


def test_an_owner_that_does_not_control_does_not_count():
    given = pod(name="solo")
    given["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": "n1"}]
    assert workload_of_pod(given).kind == "Pod"


def test_the_owner_uri_is_istios():
    uri = Workload("apps/v1", "Deployment", "front").owner_uri("shop")
    assert uri == "kubernetes://apis/apps/v1/namespaces/shop/deployments/front"
