"""Patches of bootstraps: who is told of which, and names of gateways' routes that patches match by."""

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from meshcore.model.envoy_filter import RouteConfigurationMatch
from meshcore.model.load import parse_object
from meshcore.xds import delta
from meshcore.xds.types import BOOTSTRAP_TYPE, NAME_TABLE_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.compiler.envoy_filter.routes import _Where
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.node import parse_node
from pilot.core.snapshot import MeshSnapshot


def envoy_filter(name, *values, namespace="shop", labels=None, operation="MERGE"):
    patches = [{"applyTo": "BOOTSTRAP", "patch": {"operation": operation, "value": value}} for value in values]
    spec = {"configPatches": patches} | ({"workloadSelector": {"labels": labels}} if labels else {})
    document = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    return parse_object(document)


def told(*objects, labels=None):
    """The patch that an agent of `shop` is given; None when there is none."""
    engine = Engine(compile_resources, lambda *_: True, Debounce(0.1, 10), snapshot=MeshSnapshot.of(objects))
    metadata = {"NAMESPACE": "shop", "GENERATOR": "agent", "LABELS": labels or {}}
    node = {"id": "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local", "metadata": metadata}
    made = engine.target(engine.connect(parse_node(node), delta, "", 0.0))
    assert NAME_TABLE_TYPE in made.resources
    found = made.of_type(BOOTSTRAP_TYPE)
    return bootstrap_pb2.Bootstrap.FromString(found["bootstrap"].body) if found else None


def test_patches_of_the_root_namespace_come_first_and_the_rest_is_merged_into_them():
    found = told(
        envoy_filter("own", {"stats_flush_interval": "3s"}),
        envoy_filter("mesh", {"stats_flush_interval": "9s", "enable_dispatcher_stats": True}, namespace="istio-system"),
        envoy_filter("bank", {"stats_flush_interval": "7s"}, namespace="bank"),
    )
    assert (found.stats_flush_interval.seconds, found.enable_dispatcher_stats) == (3, True)


def test_only_the_selected_workload_is_told_and_nobody_without_patches():
    selective = envoy_filter("some", {"enable_dispatcher_stats": True}, labels={"app": "a"})
    assert told(selective, labels={"app": "b"}) is None
    assert told(selective, labels={"app": "a"}).enable_dispatcher_stats
    assert told() is None


@pytest.mark.parametrize(
    ("value", "operation"),
    [({"stats_flush_interval": "soon"}, "MERGE"), ({"stats_flush_interval": "0s"}, "MERGE"), ({}, "REPLACE")],
)
def test_a_patch_that_cannot_be_merged_costs_the_others_nothing(value, operation):
    wrong = envoy_filter("wrong", value, operation=operation)
    assert told(wrong) is None
    assert told(wrong, envoy_filter("x", {"enable_dispatcher_stats": True})).enable_dispatcher_stats


@pytest.mark.parametrize(
    ("name", "gateway", "port_name"),
    [
        ("https.443.web.front.shop", "shop/front", "web"),
        ("https.443.web.front.door.shop", "shop/front.door", "web"),
        ("https.443.web.front.door.shop.127.0.0.9", "shop/front.door", "web"),
        ("https.443.web.front.shop.fd00::9", "shop/front", "web"),
        ("http.8080", "", ""),
        ("http.8080.127.0.0.9", "", ""),
    ],
)
def test_the_gateway_of_a_route_configuration_is_read_from_its_name(name, gateway, port_name):
    where = _Where.of(name)
    assert where.fits(RouteConfigurationMatch(gateway=gateway, portName=port_name))
    assert where.fits(RouteConfigurationMatch(portNumber=int(name.split(".")[1])))
    assert not where.fits(RouteConfigurationMatch(gateway="shop/another"))
