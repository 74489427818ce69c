"""What is made of what was there before is what compiling from nothing gives, change after change."""

from functools import partial

from drawn_changes import SIDECARS, changes_of
from drawn_objects import NAMES
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.distribution.events import FullState
from meshcore.model.load import parse_object
from meshcore.xds import delta
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

START = (
    *(("Service", namespace, name) for namespace in ("shop", "other") for name in NAMES),
    *(("ServiceEntry", "shop", name) for name in NAMES),
    *(("VirtualService", namespace, name) for namespace in ("shop", "other") for name in NAMES),
    ("DestinationRule", "shop", "a"),
    ("DestinationRule", "other", "b"),
    ("EndpointSlice", "shop", "a"),
)
CALLED = ("Service", "ServiceEntry", "VirtualService", "DestinationRule", "EndpointSlice")
started = st.tuples(*(st.tuples(*map(st.just, one), st.integers(0, 11)) for one in START))
events = st.lists(
    st.tuples(st.sampled_from(CALLED), st.sampled_from(("shop", "other")), st.sampled_from(NAMES), st.integers(-2, 11)),
    min_size=4,
    max_size=8,
)


def made(snapshot, cache):
    found = []
    for node in SIDECARS:
        given_to = compile_resources(snapshot, classify(parse_node(node), snapshot.selection), cache)
        resources = {
            (kind, name): (item.version, item.body, item.origins)
            for kind, named in given_to.resources.items()
            for name, item in named.items()
        }
        names = [(kind, *named) for kind, named in given_to.resources.items()]
        found.append((resources, sorted(names), given_to.diagnostics, given_to.secrets))
    return found


@settings(max_examples=50)
@given(started, events, st.integers(1, 3))
def test_a_step_from_what_was_there_gives_what_compiling_from_nothing_gives(start, steps, together):
    changes = changes_of([*start, *steps])
    snapshot, cache = MeshSnapshot.empty().apply(changes[: len(start)]), CompileCache()
    made(snapshot, cache)
    for place in range(len(start), len(changes), together):
        snapshot = snapshot.apply(changes[place : place + together])
        assert made(snapshot, cache) == made(snapshot, CompileCache())


def test_of_each_owner_the_newest_form_alone_is_kept_and_given_to_the_next():
    cache, one, other = CompileCache(), object(), object()
    seen = []

    def build(before):
        seen.append(None if before is None else (before.inputs, before.value))
        return len(seen)

    assert [cache.newest("me", "it", (one,), build, "key") for _ in range(2)] == [1, 1]
    assert cache.newest("me", "it", (other,), build, "key") == 2
    assert cache.newest("you", "it", (other,), build, "key") == 3
    assert cache.newest("me", "it", (other,), build, "another key") == 4
    cache.forget("me")
    assert cache.newest("me", "it", (other,), build, "another key") == 5
    assert seen == [None, ((one,), 1), None, None, None]


def test_what_a_class_had_is_forgotten_with_its_last_proxy():
    cache = CompileCache()
    engine = Engine(partial(compile_resources, cache=cache), affects, Debounce(0.1, 10), forget=cache.forget)
    engine.take_state(FullState("s", 0, "", {}), 0.0)
    streams = [engine.connect(parse_node(SIDECARS[0]), delta, "127.0.0.1", 0.0) for _ in range(2)]
    made = engine.target(streams[0])
    one = streams[0].proxy_class
    assert cache.newest(one, "mine", (), lambda _: 1) == 1
    engine.disconnect(streams[0])
    assert cache.newest(one, "mine", (), lambda _: 2) == 1
    assert engine.target(streams[1]) is made
    engine.disconnect(streams[1])
    assert cache.newest(one, "mine", (), lambda _: 3) == 3


def mesh_of(*documents):
    return MeshSnapshot.of([parse_object(one) for one in documents])


def document(kind, namespace, name, spec, version="networking.istio.io/v1"):
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
CALLED_BY_ALL = (
    document(
        "ServiceEntry",
        "shop",
        "a",
        {
            "hosts": ["a.example"],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "endpoints": [{"address": "10.1.1.1"}],
        },
    ),
    document(
        "VirtualService",
        "shop",
        "a",
        {"hosts": ["a.example"], "http": [{"route": [{"destination": {"host": "a.example"}}]}]},
    ),
    document(
        "EnvoyFilter",
        "istio-system",
        "all",
        {
            "configPatches": [
                {
                    "applyTo": "HTTP_FILTER",
                    "match": {"context": "SIDECAR_INBOUND"},
                    "patch": {
                        "operation": "INSERT_BEFORE",
                        "value": {
                            "name": "lua",
                            "typed_config": {
                                "@type": LUA,
                                "default_source_code": {"inline_string": "function envoy_on_request(h) end"},
                            },
                        },
                    },
                }
            ]
        },
        "networking.istio.io/v1alpha3",
    ),
)


def test_classes_share_what_they_have_alike_patched_listeners_or_not():
    snapshot, cache = mesh_of(*CALLED_BY_ALL), CompileCache()
    nodes = (f"sidecar~10.1.0.{number}~a.n{number}~n{number}.svc.cluster.local" for number in (1, 2))
    one, other = (
        compile_resources(snapshot, classify(parse_node({"id": node}), snapshot.selection), cache) for node in nodes
    )
    for type_url in (CLUSTER_TYPE, ENDPOINT_TYPE, ROUTE_TYPE):
        assert one.of_type(type_url), type_url
        assert one.of_type(type_url) is other.of_type(type_url), type_url
    assert one.of_type(LISTENER_TYPE) is not other.of_type(LISTENER_TYPE)
