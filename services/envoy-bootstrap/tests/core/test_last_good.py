import json
from datetime import UTC, datetime

import pytest
from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy_bootstrap.core.last_good import (
    BYTES_PER_LOOK,
    LONGEST_PAUSE,
    LOOKS_WITHOUT_REST,
    QuietWatch,
    resources_of_dump,
)
from envoy_bootstrap.core.sealed import StateKey, identity_from_bytes, identity_to_bytes
from google.protobuf import any_pb2, json_format
from meshcore.errors import ErrorCode, MeshError
from meshcore.testing.identity import make_ca
from meshcore.xds import registry
from meshcore.xds.stats_scope import STATS_CONFIG, told_stats_scope, with_stats_scope
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, ROUTE_TYPE

NONCE = bytes(12)


def watched(*received):
    watch, dues = QuietWatch(), []
    for number in received:
        watch, due = watch.observed(number)
        dues.append(due)
    return dues


def test_a_snapshot_is_due_once_after_each_rest():
    assert watched(1000, 1000, 1000) == [False, True, False]
    assert watched(1000, 5000, 9000, 9000, 9000) == [False, False, False, True, False]
    assert watched(1000, 1000, 1400, 1400) == [False, True, False, True]


def test_answered_pings_are_not_config_and_a_new_envoy_counts_anew():
    assert watched(1000, 1017, 1034, 1051) == [False, True, False, False]
    assert watched(9000, 9000, 300, 300) == [False, True, False, True]


def test_where_nothing_ever_rests_a_snapshot_is_due_from_time_to_time():
    dues = watched(*range(1000, 100_000, 1000))
    assert LOOKS_WITHOUT_REST in [index for index, due in enumerate(dues) if due]
    assert dues.count(True) == len(dues) // LOOKS_WITHOUT_REST


def test_what_came_last_is_pending_until_a_snapshot_of_it_was_due():
    watch, pending = QuietWatch(), []
    for received in (1000, 1000, 2000, 2000, 2017):
        watch, _ = watch.observed(received)
        pending.append(watch.pending)
    assert pending == [True, False, True, False, False]


def paused(size, *received):
    """Which looks after a dump of so many bytes are due."""
    watch, _ = QuietWatch().observed(1000)
    watch, _ = watch.observed(1000)
    watch, dues = watch.taken(size), []
    for number in received:
        watch, due = watch.observed(number)
        dues.append(due)
    return dues


def test_what_is_large_is_not_taken_again_at_once():
    assert paused(BYTES_PER_LOOK - 1, 2000, 2000) == [False, True]
    assert paused(4 * BYTES_PER_LOOK, 2000, 2000, 2000, 2000, 2000) == [False, False, False, True, False]
    assert paused(4 * BYTES_PER_LOOK, 2000, 3000, 4000, 5000, 5000) == [False, False, False, False, True]
    assert paused(4 * BYTES_PER_LOOK, *[1000] * 5) == [False] * 5


def test_however_large_it_is_it_is_taken_again():
    assert paused(10**12, *[2000] * LONGEST_PAUSE).index(True) == LONGEST_PAUSE - 1


def test_a_dump_that_fails_is_taken_later():
    watch, _ = QuietWatch().observed(1000)
    watch, due = watch.observed(1000)
    assert due
    watch, dues = watch.failed(), []
    for _ in range(LOOKS_WITHOUT_REST + 1):
        watch, due = watch.observed(1000)
        dues.append(due)
    assert dues == [False] * (LOOKS_WITHOUT_REST - 1) + [True, False]


def dump(**sections):
    return json.dumps(
        {"configs": [{"@type": f"type.googleapis.com/envoy.admin.v3.{k}", **v} for k, v in sections.items()]}
    )


def test_the_dynamic_part_of_a_dump_becomes_resources_with_pilots_versions():
    text = dump(
        ClustersConfigDump={
            "static_clusters": [{"cluster": {"@type": CLUSTER_TYPE, "name": "xds-grpc"}}],
            "dynamic_active_clusters": [{"version_info": "c1", "cluster": {"@type": CLUSTER_TYPE, "name": "out"}}],
        },
        ListenersConfigDump={
            "dynamic_listeners": [
                {
                    "name": "in",
                    "active_state": {"version_info": "l1", "listener": {"@type": LISTENER_TYPE, "name": "in"}},
                },
                {
                    "name": "w",
                    "warming_state": {"version_info": "l2", "listener": {"@type": LISTENER_TYPE, "name": "w"}},
                },
            ]
        },
        RoutesConfigDump={
            "dynamic_route_configs": [{"version_info": "r1", "route_config": {"@type": ROUTE_TYPE, "name": "80"}}]
        },
        SecretsConfigDump={"dynamic_active_secrets": [{"name": "default"}]},
    )
    resources = resources_of_dump(text)
    assert {kind: {n: r.version for n, r in found.items()} for kind, found in resources.items()} == {
        CLUSTER_TYPE: {"out": "c1"},
        LISTENER_TYPE: {"in": "l1"},
        ROUTE_TYPE: {"80": "r1"},
    }


def test_what_this_envoy_saw_of_its_peers_is_forgotten():
    endpoints = [
        {"health_status": status, "endpoint": {"address": {"socket_address": {"address": ip, "port_value": 80}}}}
        for status, ip in (("UNHEALTHY", "10.0.0.1"), ("HEALTHY", "10.0.0.2"), ("DRAINING", "10.0.0.3"))
    ]
    config = {
        "@type": ENDPOINT_TYPE,
        "cluster_name": "out",
        "endpoints": [{"load_balancing_weight": 0, "lb_endpoints": endpoints}],
    }
    text = dump(EndpointsConfigDump={"dynamic_endpoint_configs": [{"endpoint_config": config}]})
    kept = registry.parse(ENDPOINT_TYPE, resources_of_dump(text)[ENDPOINT_TYPE]["out"].body)
    assert [endpoint.health_status for endpoint in kept.endpoints[0].lb_endpoints] == [0, 0, 3]
    assert not kept.endpoints[0].HasField("load_balancing_weight")


def test_a_resource_that_cannot_be_held_whole_is_not_passed_off_as_pilots():
    cluster = {"@type": CLUSTER_TYPE, "name": "out", "a_field_of_the_future": 1}
    text = dump(ClustersConfigDump={"dynamic_active_clusters": [{"version_info": "c1", "cluster": cluster}]})
    assert resources_of_dump(text)[CLUSTER_TYPE]["out"].version == "c1~"


def test_the_bounds_of_metrics_which_messages_do_not_know_come_back():
    config = accesslog_pb2.AccessLog(name="stats")
    config.typed_config.CopyFrom(
        with_stats_scope(any_pb2.Any(type_url=STATS_CONFIG, value=stats_pb2.Config().SerializeToString()))
    )
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix="in", access_log=[config])
    sent = listener_pb2.Listener(name="in")
    sent.filter_chains.add().filters.add(name="http").typed_config.Pack(manager)
    # as Envoy, which knows the field, dumps it
    shown = told_stats_scope(json_format.MessageToDict(sent, preserving_proto_field_name=True))
    text = dump(
        ListenersConfigDump={"dynamic_listeners": [{"active_state": {"version_info": "l1", "listener": shown}}]}
    )
    kept = resources_of_dump(text)[LISTENER_TYPE]["in"]
    assert kept.version == "l1"
    assert kept.body == sent.SerializeToString(deterministic=True)


def test_extensions_by_discovery_are_kept():
    extension = {"@type": EXTENSION_CONFIG_TYPE, "name": "default.guard"}
    text = dump(EcdsConfigDump={"ecds_filters": [{"version_info": "e1", "ecds_filter": extension}]})
    assert resources_of_dump(text)[EXTENSION_CONFIG_TYPE]["default.guard"].version == "e1"


def test_extensions_that_nobody_has_imported_are_read_and_what_is_unknown_is_left_out_and_told():
    def listener(name, extension):
        config = {"name": name, "filter_chains": [{"filters": [{"name": "f", "typed_config": {"@type": extension}}]}]}
        return {"active_state": {"version_info": "l1", "listener": {"@type": LISTENER_TYPE, **config}}}

    prefix = "type.googleapis.com/envoy.extensions.filters.network"
    known, unknown = f"{prefix}.zookeeper_proxy.v3.ZooKeeperProxy", f"{prefix}.of_the_future.v3.Filter"
    text = dump(ListenersConfigDump={"dynamic_listeners": [listener("known", known), listener("odd", unknown)]})
    left_out = []
    assert set(resources_of_dump(text, left_out)[LISTENER_TYPE]) == {"known"}
    assert [one.partition(":")[0] for one in left_out] == ["odd"]


def test_sealed_state_opens_only_under_its_key_and_name():
    key = StateKey(b"k" * 32)
    sealed = key.seal("identity.sealed", b"content", NONCE)
    assert key.unseal("identity.sealed", sealed) == b"content"
    assert b"content" not in sealed
    for other, name, changed in (
        (StateKey(b"x" * 32), "identity.sealed", sealed),
        (key, "snapshot.sealed", sealed),
        (key, "identity.sealed", sealed[:-1] + b"\x00"),
        (key, "identity.sealed", b""),
    ):
        with pytest.raises(MeshError) as caught:
            other.unseal(name, changed)
        assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    assert "k" * 8 not in repr(key)


def test_a_short_state_key_is_refused():
    with pytest.raises(MeshError, match="32 bytes"):
        StateKey(b"short")


def test_an_identity_survives_its_way_to_disk():
    identity = make_ca().issue("spiffe://cluster.local/ns/shop/sa/front")
    received = datetime(2026, 1, 2, tzinfo=UTC)
    assert identity_from_bytes(identity_to_bytes(identity, b"list", b"roots", received)) == (
        identity,
        b"list",
        b"roots",
        received,
    )
    with pytest.raises(MeshError, match="cannot be read"):
        identity_from_bytes(b"{}")
