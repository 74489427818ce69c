"""Whatever config Galley accepts, Envoy takes what Pilot makes of it, and the order in which it came is all one."""

import random
from collections.abc import Iterator

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from hypothesis import Phase, given
from hypothesis import strategies as st
from meshcore.model.base import MeshObject
from meshcore.model.kinds import by_kind
from meshcore.model.load import dump_object
from meshcore.testing.envoy import validate
from meshcore.testing.envoy_checker import EnvoyChecker, envoy_checker
from meshcore.xds.names import extension_config_name
from meshcore.xds.references import dangling
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

from tests.properties.long_runs import EXAMPLES, LIMIT, examples
from tests.properties.records import Change, Record
from tests.properties.worlds import PROXIES, STANDING, worlds

VALIDATED = max(EXAMPLES // 5, 1)
SHUFFLED = EXAMPLES
_AS_DRAWN = (Phase.explicit, Phase.generate)
"""No shrinking: it would take minutes, and Envoy names what it refuses."""


def compiled(snapshot: MeshSnapshot) -> Iterator[tuple[str, ResourceSet]]:
    for form, node in PROXIES.items():
        yield form, compile_resources(snapshot, classify(parse_node(node), snapshot.selection))


def unexplained(resources: ResourceSet) -> set[str]:
    """Clusters that something leads to, that are not there, and of whose host no diagnostic speaks; and extensions that
    are not sent for no reason."""
    texts = [problem.message for problem in resources.diagnostics]
    held = {problem.config.rpartition("/")[2] for problem in resources.diagnostics if "not-sent" in problem.code}
    missing = {item.to_name for item in dangling(resources)} - {extension_config_name("shop", name) for name in held}
    hosts = {name.rpartition("|")[2] for name in missing}
    return {host for host in hosts if not any(host in text for text in texts)}


@pytest.fixture(scope="module")
def checker(tmp_path_factory) -> Iterator[EnvoyChecker]:
    with envoy_checker(tmp_path_factory.mktemp("checker")) as running:
        yield running


def test_the_checker_sees_what_is_wrong_with_any_type_and_goes_on(checker: EnvoyChecker):
    good = next(compiled(MeshSnapshot.of(STANDING)))[1]
    for type_url, broken in (
        (CLUSTER_TYPE, cluster_pb2.Cluster(name="outbound|9080||reviews.shop.svc.cluster.local", type=9)),
        (ENDPOINT_TYPE, endpoint_pb2.ClusterLoadAssignment(policy={"overprovisioning_factor": {}})),
        (LISTENER_TYPE, listener_pb2.Listener(name="virtualInbound")),
        (ROUTE_TYPE, route_pb2.RouteConfiguration(name="9080", virtual_hosts=[{"name": "a", "domains": []}])),
    ):
        name = next(iter(good.of_type(type_url))) if type_url == ENDPOINT_TYPE else broken.name
        wrong = {**good.of_type(type_url), name: PackedResource.pack(type_url, name, broken)}
        assert name in good.of_type(type_url), name
        assert checker.refusals(ResourceSet({**good.resources, type_url: wrong})) != [], type_url
        assert checker.refusals(good) == []


@pytest.mark.timeout(LIMIT)
@examples(EXAMPLES, phases=_AS_DRAWN)
@given(worlds)
def test_envoy_takes_whatever_galley_accepts(checker: EnvoyChecker, objects: list[MeshObject]):
    snapshot = MeshSnapshot.of(objects)
    for form, resources in compiled(snapshot):
        assert checker.refusals(resources) == [], form
        assert unexplained(resources) == set(), form


@pytest.mark.timeout(LIMIT)
@examples(VALIDATED, phases=_AS_DRAWN)
@given(worlds)
def test_envoy_validates_it_as_a_bootstrap_too(objects: list[MeshObject]):
    for form, resources in compiled(MeshSnapshot.of(objects)):
        validate(as_bootstrap(resources, PROXIES[form]))


@pytest.mark.timeout(LIMIT)
@examples(SHUFFLED, phases=_AS_DRAWN)
@given(worlds, st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_bytes(objects: list[MeshObject], shuffler: random.Random):
    whole = dict(compiled(MeshSnapshot.of(objects)))
    shuffler.shuffle(objects)
    again = dict(compiled(MeshSnapshot.of(objects)))
    step_by_step = MeshSnapshot.empty()
    for item in objects:
        info = by_kind(item.api_version, item.kind)
        key = (info.group, info.plural, *item.namespaced_name)
        step_by_step = step_by_step.apply([Change(key, Record(0, dump_object(item)))])
    grown = dict(compiled(step_by_step))
    for form, resources in whole.items():
        assert bodies(resources) == bodies(again[form]) == bodies(grown[form]), form
        assert resources.diagnostics == again[form].diagnostics == grown[form].diagnostics, form


def bodies(resources: ResourceSet) -> dict[tuple[str, str], bytes]:
    return {(kind, name): one.body for kind, named in resources.resources.items() for name, one in named.items()}
