"""Memos: what is built once, what is built again, and that a second compile builds nothing."""

from meshcore.xds.resource import PackedResource
from meshcore.xds.types import CLUSTER_TYPE
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.stages import Stage
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
    assert 1 <= len(cache) <= 9
    assert cache.memo(49, lambda: None) is not None, "the newest one stays"


class Made:
    def __init__(self, made_of):
        self.made_of = made_of


def test_what_is_made_of_the_same_is_one_object_while_somebody_keeps_it():
    cache, part = CompileCache(), object()

    def build():
        return Made((part, part))

    one = cache.alike("it", (part, part), build)
    assert cache.alike("it", (part, part), build) is one
    assert cache.alike("another", (part, part), build) is not one
    assert cache.alike("it", (part, object()), build) is not one
    number = id(one)
    del one
    assert len(cache._alike) == 0, number


def test_a_stage_keeps_what_it_made_until_the_next_compile_of_its_class():
    snapshot = MeshSnapshot.of([])
    proxy_class = classify(parse_node({"id": "sidecar~10.0.0.1~a.n~n.svc.cluster.local"}), snapshot.selection)
    cache, built = CompileCache(), []
    items = [Compiled(PackedResource.pack(CLUSTER_TYPE, name, name.encode())) for name in "abc"]

    def run(names, given):
        stage = Stage(Compilation(snapshot, proxy_class, cache), "it", given)
        return [stage.of(item, lambda item=item: built.append(item.resource.name) or object()) for item in names]

    first = run(items, 1)
    assert run([*items[:2], Compiled(PackedResource.pack(CLUSTER_TYPE, "c", b"c"))], 1) == first, "an equal one will do"
    run(items[:1], 1)
    assert built == ["a", "b", "c"]
    run(items, 1)
    assert built == ["a", "b", "c", "b", "c"], "what the compile before did not ask for is made again"
    run(items, 2)
    assert built[5:] == ["a", "b", "c"]
    assert len(cache) == 0, "and nothing of it is a memo"


def test_what_was_asked_for_since_outlives_what_was_not_and_one_that_goes_is_found_soon():
    cache = CompileCache(capacity=1000)
    for number in range(1000):
        cache.memo(number, lambda: None)
    for number in range(0, 1000, 2):
        cache.memo(number, lambda: None)
    for number in range(1000, 1400):
        cache.memo(number, lambda: None)
    assert len(cache) == 1000
    misses = cache.misses
    for number in range(0, 1000, 2):
        cache.memo(number, lambda: None)
    assert cache.misses == misses
    cache.memo("one more", lambda: None)
    assert len(cache) == 1000, "although all had been asked for"
