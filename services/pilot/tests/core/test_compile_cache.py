"""Memos: what is built once, what is built again, and that a second compile builds nothing."""

from meshcore.xds.resource import PackedResource
from meshcore.xds.types import CLUSTER_TYPE
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compiled
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot


def test_equal_but_different_objects_are_different_keys():
    one, other = [1], [1]
    assert Same(one) == Same(one)
    assert Same(one) != Same(other)
    assert len({Same(one), Same(one), Same(other)}) == 2


def test_the_least_recently_used_memo_goes_first():
    cache = CompileCache(capacity=2)
    cache.memo("a", lambda: 1)
    cache.memo("b", lambda: 2)
    cache.memo("a", lambda: 3)
    cache.memo("c", lambda: 4)
    assert (cache.memo("a", lambda: 5), cache.memo("b", lambda: 6)) == (1, 6)
    assert len(cache) == 2


def test_a_second_compile_builds_nothing_and_gives_the_same_resources(case_of, request):
    objects, node = case_of(request.path.parents[1] / "testdata" / "own-addresses-permissive")
    snapshot, cache = MeshSnapshot.of(objects), CompileCache()
    proxy_class = classify(parse_node(node), snapshot.selection)
    first = compile_resources(snapshot, proxy_class, cache)
    built = cache.misses
    second = compile_resources(snapshot, proxy_class, cache)
    assert cache.misses == built
    for type_url, named in first.resources.items():
        for name, resource in named.items():
            assert second.resources[type_url][name] is resource


def test_one_changed_endpoint_rebuilds_only_what_it_is_in(case_of, request):
    objects, node = case_of(request.path.parents[1] / "testdata" / "own-addresses-permissive")
    before, cache = MeshSnapshot.of(objects), CompileCache()
    proxy_class = classify(parse_node(node), before.selection)
    first = compile_resources(before, proxy_class, cache)
    moved = [
        item.model_copy(update={"spec": item.spec.model_copy(update={"address": "127.1.0.77"})})
        if item.kind == "WorkloadEntry" and item.metadata.name == "reviews-v2"
        else item
        for item in objects
    ]
    second = compile_resources(MeshSnapshot.of(moved), proxy_class, cache)
    changed = {
        name
        for named in first.resources
        for name, resource in first.resources[named].items()
        if second.resources[named][name] != resource
    }
    host = "reviews.shop.svc.cluster.local"
    assert changed == {f"outbound|9080||{host}", f"outbound|9080|v2|{host}"}


def test_memos_go_when_what_was_compiled_weighs_too_much():
    cache = CompileCache(budget=100_000)
    for number in range(50):
        resource = PackedResource.pack(CLUSTER_TYPE, f"c{number}", b"x" * 10_000)
        cache.memo(number, lambda resource=resource: Compiled(resource))
    assert 1 <= len(cache) <= 5
    assert cache.memo(49, lambda: None) is not None, "the newest one stays"
