from meshctl.core.mesh_objects import desired_over, first_objects, kubeconfig, objects_of
from meshctl.core.workloads import Workload


def test_what_every_stack_begins_with() -> None:
    kinds = [(item["kind"], item["metadata"]["name"]) for item in first_objects("td.example")]
    assert kinds == [("Namespace", "istio-system"), ("Namespace", "default"), ("ConfigMap", "istio")]
    assert "trustDomain: td.example" in first_objects("td.example")[2]["data"]["mesh"]


def test_workloads_need_their_namespaces_before_their_accounts() -> None:
    made = objects_of([Workload("a", "x", "s"), Workload("b", "x", "s"), Workload("c", "w", "t")])
    named = [(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in made]
    assert named == [
        ("Namespace", "", "w"),
        ("Namespace", "", "x"),
        ("ServiceAccount", "w", "t"),
        ("ServiceAccount", "x", "s"),
    ]


def test_what_is_wanted_is_laid_over_what_lives() -> None:
    live = {
        "kind": "K",
        "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "labels": {"old": "1"}, "managedFields": []},
        "spec": {"a": 1},
        "status": {"s": 1},
    }
    wanted = {"kind": "K", "metadata": {"name": "n", "annotations": {"x": "y"}}, "spec": {"b": 2}}
    assert desired_over(live, wanted) == {
        "kind": "K",
        "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "annotations": {"x": "y"}},
        "spec": {"b": 2},
        "status": {"s": 1},
    }


def test_a_wanted_resource_version_wins() -> None:
    live = {"metadata": {"name": "n", "resourceVersion": "7"}}
    assert desired_over(live, {"metadata": {"name": "n", "resourceVersion": "5"}})["metadata"]["resourceVersion"] == "5"


def test_a_kubeconfig_names_its_server() -> None:
    made = kubeconfig("https://127.1.255.1:8081", "Q0E=", "secret", "mesh")
    assert made["clusters"][0]["cluster"] == {
        "server": "https://127.1.255.1:8081",
        "certificate-authority-data": "Q0E=",
    }
    assert made["current-context"] == "mesh"
