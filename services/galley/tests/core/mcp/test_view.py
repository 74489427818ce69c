"""What an object becomes on the wire."""

from datetime import UTC, datetime

import pytest
from galley.core.admission import admit
from galley.core.kind_rules import Naming
from galley.core.mcp.kinds import KIND_OF_KEY, WIRE_KINDS
from galley.core.mcp.view import ConfigView
from galley.core.storage import StoredObject
from google.protobuf.json_format import MessageToDict
from meshcore._generated.istio.mcp.v1alpha1 import mcp_pb2
from meshcore._generated.istio.networking.v1alpha3 import destination_policy_pb2, routing_pb2
from meshcore._generated.istio.security.v1beta1 import policies_pb2
from meshcore.distribution.keys import Key
from meshcore.model.kinds import KINDS, by_kind

BORN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def stored(kind, spec, *, name="a", revision=7, group="networking.istio.io", **metadata):
    document = {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": spec,
    }
    info = by_kind(document["apiVersion"], kind)
    admitted = admit(document, info, Naming())
    key = Key(info.group, info.plural, "shop", name)
    return StoredObject(key, admitted.document, admitted.normalised, "u", 1, BORN, revision, revision)


def only_resource(view, one):
    (entry,) = view.of(KIND_OF_KEY[(one.key.group, one.key.plural)]).entries.values()
    return mcp_pb2.Resource.FromString(entry.body)


def test_a_virtual_service_is_the_real_message_with_its_metadata():
    one = stored(
        "VirtualService",
        {
            "hosts": ["reviews"],
            "http": [
                {
                    "match": [{"uri": {"prefix": "/"}, "headers": {"end-user": {"exact": "jason"}}}],
                    "route": [{"destination": {"host": "reviews", "port": {"number": 80}}}],
                    "timeout": "1m30s",
                    "retries": {"attempts": 3, "perTryTimeout": "250ms"},
                }
            ],
        },
        labels={"istio.io/rev": "canary"},
        annotations={"note": "x"},
    )
    resource = only_resource(ConfigView().listed(9, [one]), one)
    assert resource.metadata.name == "shop/a"
    assert resource.metadata.create_time.ToDatetime(UTC) == BORN
    assert resource.metadata.version.startswith("7-")
    assert dict(resource.metadata.labels) == {"istio.io/rev": "canary"}
    assert dict(resource.metadata.annotations) == {"note": "x"}
    assert resource.body.type_url == "type.googleapis.com/istio.networking.v1alpha3.VirtualService"
    message = routing_pb2.VirtualService.FromString(resource.body.value)
    route = message.http[0]
    assert list(message.hosts) == ["reviews.shop.svc.cluster.local"]
    assert route.match[0].uri.prefix == "/"
    assert route.match[0].headers["end-user"].exact == "jason"
    assert route.timeout.ToTimedelta().total_seconds() == 90
    assert route.retries.per_try_timeout.ToMilliseconds() == 250
    assert route.route[0].destination.port.number == 80


def test_a_destination_rule_keeps_its_wrapped_numbers_and_enums():
    policy = {
        "loadBalancer": {"simple": "ROUND_ROBIN"},
        "outlierDetection": {"consecutive5xxErrors": 0, "baseEjectionTime": "5s"},
        "connectionPool": {"http": {"http1MaxPendingRequests": 3, "h2UpgradePolicy": "UPGRADE"}},
        "tls": {"mode": "ISTIO_MUTUAL"},
    }
    one = stored("DestinationRule", {"host": "reviews", "trafficPolicy": policy})
    resource = only_resource(ConfigView().listed(9, [one]), one)
    found = destination_policy_pb2.DestinationRule.FromString(resource.body.value).traffic_policy
    assert found.outlier_detection.HasField("consecutive_5xx_errors")
    shown = MessageToDict(found)
    assert shown["connectionPool"]["http"] == {"http1MaxPendingRequests": 3, "h2UpgradePolicy": "UPGRADE"}
    assert shown["tls"] == {"mode": "ISTIO_MUTUAL"}
    assert shown["loadBalancer"] == {"simple": "ROUND_ROBIN"}


def test_a_peer_authentication_keeps_its_ports():
    spec = {
        "selector": {"matchLabels": {"app": "a"}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {"8080": {"mode": "DISABLE"}},
    }
    one = stored("PeerAuthentication", spec, group="security.istio.io")
    message = policies_pb2.PeerAuthentication()
    message.ParseFromString(only_resource(ConfigView().listed(9, [one]), one).body.value)
    assert MessageToDict(message) == spec


def test_every_kind_that_leaves_and_is_stored_is_known_by_the_same_name():
    known = {(info.group, info.plural): info.kind for info in KINDS}
    for kind in WIRE_KINDS:
        assert known.get((kind.group, kind.plural), kind.kind) == kind.kind
        assert kind.message.DESCRIPTOR.name == kind.kind


def entry_spec(host):
    return {"hosts": [host], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}


def test_a_change_touches_its_own_collection_alone():
    entry = stored("ServiceEntry", entry_spec("one.example.com"))
    rule = stored("DestinationRule", {"host": "reviews"})
    before = ConfigView().listed(8, [entry, rule])
    newer = stored("ServiceEntry", entry_spec("two.example.com"), revision=9)
    after = before.changed(9, {newer.key: newer})
    entries, rules = KIND_OF_KEY[(entry.key.group, entry.key.plural)], KIND_OF_KEY[(rule.key.group, rule.key.plural)]
    assert after.of(rules) is before.of(rules)
    assert after.of(entries).version == "9"
    assert after.of(entries).entries["shop/a"].version != before.of(entries).entries["shop/a"].version
    assert after.changed(10, {newer.key: None}).of(entries).entries == {}


def test_listing_again_what_did_not_change_keeps_the_versions():
    entry = stored("ServiceEntry", entry_spec("one.example.com"))
    before = ConfigView().listed(8, [entry])
    kind = KIND_OF_KEY[(entry.key.group, entry.key.plural)]
    assert before.listed(12, [entry]).of(kind) is before.of(kind)


def test_the_same_revision_of_another_store_is_another_version():
    one, other = (stored("ServiceEntry", entry_spec(host)) for host in ("one.example.com", "two.example.com"))
    kind = KIND_OF_KEY[(one.key.group, one.key.plural)]
    versions = {ConfigView().listed(8, [item]).of(kind).entries["shop/a"].version for item in (one, other)}
    assert len(versions) == 2


def test_an_object_that_does_not_fit_is_left_out_and_named():
    good = stored("ServiceEntry", entry_spec("one.example.com"))
    key = Key(good.key.group, good.key.plural, "shop", "odd")
    odd = StoredObject(key, {}, {"spec": {"hosts": 5}, "metadata": {}}, "u", 1, BORN, 8, 8)
    view = ConfigView().listed(8, [good, odd])
    assert list(view.of(KIND_OF_KEY[(key.group, key.plural)]).entries) == ["shop/a"]
    assert list(view.unpackable) == [key]
    assert view.changed(9, {key: None}).unpackable == {}


@pytest.mark.parametrize(("group", "plural"), [("", "configmaps"), ("", "secrets"), ("", "namespaces")])
def test_other_kinds_do_not_get_in(group, plural):
    key = Key(group, plural, "shop", "a")
    one = StoredObject(key, {}, {"metadata": {}, "data": {"password": "x"}}, "u", 1, BORN, 8, 8)
    assert ConfigView().changed(8, {key: one}).collections == {}
    assert all(not found.entries for found in ConfigView().listed(8, [one]).collections.values())
