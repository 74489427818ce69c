import pytest
from meshcore.errors import MeshError
from meshctl.core.workloads import Workload, filled, parse_workloads, workload_entry, workload_from


def test_a_workloads_file() -> None:
    document = {
        "config": ["mesh.yaml", "/elsewhere/more.yaml"],
        "workload": [{"name": "a", "service_account": "s", "ports": [80], "command": ["x", "{host}"]}, {"name": "b"}],
    }
    parsed = parse_workloads(document, "/shop", "w.toml")
    assert parsed.config == ("/shop/mesh.yaml", "/elsewhere/more.yaml")
    assert parsed.workloads[0] == Workload("a", service_account="s", ports=(80,), command=("x", "{host}"))
    assert parsed.workloads[1] == Workload("b")


def test_every_violation_at_once() -> None:
    document = {"what": 1, "workload": [{"nam": "a"}, {"name": "b", "ports": ["x"], "labels": {"k": 1}}]}
    with pytest.raises(MeshError) as caught:
        parse_workloads(document, "/shop", "w.toml")
    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["what", "workload[0].nam", "workload[0].name", "workload[1].ports", "workload[1].labels"]


def test_a_name_belongs_to_one_workload() -> None:
    with pytest.raises(MeshError, match="used twice"):
        parse_workloads({"workload": [{"name": "a"}, {"name": "a"}]}, "/shop", "w.toml")


def test_an_entry_is_read_back_as_it_was() -> None:
    workload = Workload("a", "ns", "sa", "g", {"l": "v"}, (1, 2), ("c",), {"E": "1"}, {"P": "2"})
    assert workload_from(workload_entry(workload)) == workload


def test_only_known_braces_are_filled() -> None:
    assert filled(("{host}:{port}", "{{}}"), {"host": "h"}) == ("h:{port}", "{{}}")
