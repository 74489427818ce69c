"""What a change would do: to whom, to which resources and fields, seen without doing it."""

from functools import partial

import pytest
from meshcore.errors import MeshError
from meshcore.model.load import dump_object
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.node import parse_node
from pilot.core.resource_diff import field_changes
from pilot.core.snapshot import MeshSnapshot
from pilot.core.what_if import consequences, parse_changes, united
from shop_mesh import REVIEWS, documents

LONELY = """
apiVersion: v1
kind: Service
metadata: {name: lonely, namespace: other, annotations: {networking.istio.io/exportTo: "."}}
spec:
  clusterIP: 10.0.0.2
  ports: [{name: http, port: 80}]
"""
MESH = documents(REVIEWS, LONELY)
ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  exportTo: ["."]
  http: [{timeout: 3s, route: [{destination: {host: reviews}}]}]
"""
LEAVER = """
apiVersion: v1
kind: Service
metadata: {name: lonely, namespace: other}
"""


def proxy(name, namespace):
    node_id = f"sidecar~10.1.0.9~{name}.{namespace}~{namespace}.svc.cluster.local"
    return parse_node({"id": node_id, "metadata": {"NAMESPACE": namespace}})


PROXIES = [proxy("a", "shop"), proxy("b", "shop"), proxy("c", "other")]


@pytest.fixture
def suppose(objects):
    def asked(*changes):
        before = MeshSnapshot.of(objects(MESH), 7)
        supposed = parse_changes(changes)
        after = before.supposing((one.object, one.removed) for one in supposed)
        assert (before.revision, after.revision) == (7, 8)
        return consequences(before, after, PROXIES, partial(compile_resources, cache=CompileCache()))

    return asked


def test_only_who_sees_it_is_affected_and_the_field_is_named(suppose, objects):
    [item] = objects(ROUTES)
    [found] = suppose({"object": dump_object(item)})
    assert found.proxies == ("a.shop", "b.shop")
    [change] = found.changes
    assert (change.type, change.name, change.change.value) == ("rds", "9080", "changed")
    assert [str(config) for config in change.configs] == ["VirtualService/shop/reviews@8", "Service/shop/reviews"]
    assert any(
        one.path.startswith("virtual_hosts[reviews.shop.svc.cluster.local:9080].routes") for one in change.fields
    )
    assert change.size > 0
    assert found.document()["resources"][0]["change"] == "changed"


def test_what_is_deleted_takes_its_resources_along(suppose, objects):
    [item] = objects(LEAVER)
    [found] = suppose({"operation": "delete", "object": dump_object(item)})
    assert found.proxies == ("c.other",)
    assert ("cds", "outbound|80||lonely.other.svc.cluster.local", "removed") in {
        (change.type, change.name, change.change.value) for change in found.changes
    }


def test_a_change_that_changes_nothing_affects_nobody(suppose, objects):
    assert suppose() == ()
    [routes] = objects(ROUTES)
    before = MeshSnapshot.of([*objects(MESH), routes], 7)
    noted = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    again = routes.model_copy(update={"metadata": routes.metadata.model_copy(update={"annotations": noted})})
    assert consequences(before, before.supposing([(again, False)]), PROXIES, compile_resources) == ()
    assert suppose(*({"object": dump_object(item)} for item in objects(MESH))) == ()


def test_a_new_object_is_the_youngest_and_a_changed_one_keeps_its_age(objects):
    [routes] = objects(ROUTES)
    older = routes.model_copy(
        update={
            "metadata": routes.metadata.model_copy(update={"name": "z", "creation_timestamp": "2020-01-01T00:00:00Z"})
        }
    )
    before = MeshSnapshot.of([*objects(MESH), older], 7)
    [told] = consequences(before, before.supposing([(routes, False)]), PROXIES, compile_resources)
    assert told.changes == ()
    assert told.problems == ("Host reviews.shop.svc.cluster.local has the rules of shop/z: these are not used for it.",)
    [changed] = objects(ROUTES.replace("3s", "4s").replace("name: reviews, namespace", "name: z, namespace"))
    after = before.supposing([(changed, False)])
    assert after.configs["VirtualService"]["shop", "z"].object.metadata.creation_timestamp == "2020-01-01T00:00:00Z"
    assert len(consequences(before, after, PROXIES, compile_resources)) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"operation": "burn", "object": {}}, "changes[0].operation"),
        ({"operation": "apply"}, "changes[0].object"),
        ({"object": {"kind": "VirtualService"}}, "changes[0].object"),
        ({"object": {"apiVersion": "networking.istio.io/v1", "kind": "Nothing", "metadata": {}}}, "changes[0].object"),
    ],
)
def test_what_is_no_change_is_refused_with_its_place(change, field):
    with pytest.raises(MeshError) as caught:
        parse_changes([change])
    assert caught.value.violations[0].field.startswith(field)


def test_the_parts_of_several_processes_are_one_list():
    one = {"proxies": ["a"], "resources": [{"type": "cds"}], "problems": []}
    other = {"proxies": ["b"], "resources": [{"type": "cds"}], "problems": ["p"]}
    third = {"proxies": ["c"], "resources": [], "problems": []}
    assert united([third, one, other]) == [
        {"proxies": ["a", "b"], "resources": [{"type": "cds"}], "problems": ["p"]},
        {"proxies": ["c"], "resources": [], "problems": []},
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": {"b": 1}}, {"a": {}}, [("a.b", 1, None)]),
        (
            {"l": [{"name": "x", "v": 1}]},
            {"l": [{"name": "y"}, {"name": "x", "v": 1}]},
            [("l[y]", None, {"name": "y"})],
        ),
        (
            {"l": [{"name": "x"}, {"name": "y"}]},
            {"l": [{"name": "y"}, {"name": "x"}]},
            [("l (order)", ["x", "y"], ["y", "x"])],
        ),
        ({"l": [1, 2]}, {"l": [1, 3]}, [("l[1]", 2, 3)]),
        ({"l": [{"name": "x"}, {"name": "x"}]}, {"l": [{"name": "x"}]}, [("l[1]", {"name": "x"}, None)]),
        ({"a": []}, {"a": [{"name": "x"}]}, [("a[x]", None, {"name": "x"})]),
    ],
)
def test_differences_of_documents(before, after, expected):
    assert [(one.path, one.before, one.after) for one in field_changes(before, after)] == expected
