"""Entries of registered workloads: who may replace one, and when it expires."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshcore.errors import ErrorCode, MeshError
from meshcore.model import WorkloadGroup
from meshcore.model.load import parse_object
from pilot.core.node import parse_node
from pilot.core.registration import Entry, Expiry, entry_of, find_group, may_replace, with_mark


def entry(name="reviews-10.0.0.1", group="reviews", owner="pilot-1", connection=1, **more):
    return Entry("shop", name, group, name.rpartition("-")[2], owner, connection, {}, **more)


def proxy(**more):
    metadata = {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "reviews", "AUTO_REGISTER_GROUP": "reviews", **more}
    return parse_node(
        {
            "id": "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local",
            "metadata": {
                "NAMESPACE": "shop",
                "SERVICE_ACCOUNT": "reviews",
                "AUTO_REGISTER_GROUP": "reviews",
                **metadata,
            },
        }
    )


def group(account="reviews") -> WorkloadGroup:
    return parse_object(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadGroup",
            "metadata": {"name": "reviews", "namespace": "shop"},
            "spec": {"template": {"serviceAccount": account}},
        }
    )


def test_a_node_registers_with_the_group_of_its_namespace():
    groups = {("shop", "reviews"): group()}
    assert find_group(proxy(), groups) is groups["shop", "reviews"]
    made = entry_of(proxy(LABELS={"app": "reviews"}, GENERATOR="agent"), "pilot-1", 7, healthy=False)
    assert made.key == ("shop", "reviews-10.0.0.1")
    assert (made.labels, made.healthy, made.by_agent) == ({"app": "reviews"}, False, True)
    assert made.workload().group == "reviews"


def test_a_missing_group_fails_the_precondition():
    with pytest.raises(MeshError) as missing:
        find_group(proxy(), {})
    assert missing.value.code is ErrorCode.FAILED_PRECONDITION


def test_a_group_of_another_service_account_is_refused():
    with pytest.raises(MeshError) as denied:
        find_group(proxy(), {("shop", "reviews"): group("admin")})
    assert denied.value.code is ErrorCode.PERMISSION_DENIED


def test_newer_connections_replace_and_an_envoy_never_replaces_an_agent():
    assert may_replace(entry(connection=2), None)
    assert may_replace(entry(connection=2), entry(connection=1, owner="pilot-2"))
    assert not may_replace(entry(connection=1), entry(connection=2))
    assert not may_replace(entry(connection=9, by_agent=False), entry(connection=1))
    assert may_replace(entry(connection=1), entry(connection=9, by_agent=False))


def test_a_broken_stream_expires_after_the_grace():
    expiry = Expiry("pilot-1", grace=10, stable_for=30)
    assert expiry.look([entry()], lambda e: False, 0.0, 100.0).expire == ()
    assert expiry.look([entry()], lambda e: False, 0.0, 109.9).expire == ()
    assert expiry.look([entry()], lambda e: False, 0.0, 110.0).expire == (entry(),)


def test_a_newer_connection_cancels_the_grace():
    expiry = Expiry("pilot-1", grace=10, stable_for=30)
    expiry.look([entry()], lambda e: False, 0.0, 100.0)
    newer = entry(connection=2)
    assert expiry.look([newer], lambda e: False, 0.0, 110.0).expire == ()
    assert expiry.look([newer], lambda e: False, 0.0, 120.0).expire == (newer,)


def test_no_grace_begins_before_this_process_was_stable():
    expiry = Expiry("pilot-1", grace=10, stable_for=30)
    for now in (0.0, 50.0, 100.0):
        assert expiry.look([entry()], lambda e: False, None, now).expire == ()
    assert expiry.look([entry()], lambda e: False, 100.0, 139.9).expire == ()
    assert expiry.look([entry()], lambda e: False, 100.0, 140.0).expire == (entry(),)


def test_when_more_than_half_of_a_group_would_go_they_are_kept_and_marked():
    expiry = Expiry("pilot-1", grace=10, stable_for=30)
    one, two, three = (entry(f"reviews-10.0.0.{n}") for n in (1, 2, 3))
    dead = {one.key, two.key}
    expiry.look([one, two, three], lambda e: e.key not in dead, 0.0, 100.0)
    verdict = expiry.look([one, two, three], lambda e: e.key not in dead, 0.0, 110.0)
    assert verdict.expire == ()
    assert verdict.keep == (one, two)
    marked = [with_mark(one, kept=True), with_mark(two, kept=True), three]
    assert expiry.look(marked, lambda e: e.key not in dead, 0.0, 111.0).keep == ()
    back = expiry.look(marked, lambda e: e.key != one.key, 0.0, 112.0)
    assert back.unmark == (marked[1],)
    assert back.expire == (marked[0],)


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=8), st.data())
def test_a_sweep_never_takes_most_of_a_group(groups, data):
    entries = [entry(f"{g}-10.0.0.{n}", group=g) for n, g in enumerate(groups)]
    dead = {e.key for e in entries if data.draw(st.booleans())}
    expiry = Expiry("pilot-1", grace=10, stable_for=30)
    expiry.look(entries, lambda e: e.key not in dead, 0.0, 100.0)
    verdict = expiry.look(entries, lambda e: e.key not in dead, 0.0, 120.0)
    assert {e.key for e in (*verdict.expire, *verdict.keep)} == dead
    for name in "ab":
        size = sum(e.group == name for e in entries)
        going = sum(e.group == name for e in verdict.expire)
        assert going <= 1 or going * 2 <= size


def test_the_mark_changes_nothing_else():
    assert replace(with_mark(entry(), kept=True), kept=False) == entry()
