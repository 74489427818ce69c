"""WorkloadEntry objects of registrations: what they say, when they are written, and that they are no endpoints."""

from dataclasses import replace

import pytest
from meshcore.model.load import parse_object
from pilot.core.config import Config
from pilot.core.registration import Entry, entry_of
from pilot.core.snapshot import MeshSnapshot
from pilot.core.workload_entries import Documents, status_of, untold, writes

GROUP = parse_object(
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "reviews", "namespace": "shop", "uid": "u-1"},
        "spec": {
            "metadata": {"labels": {"app": "reviews"}, "annotations": {"team": "books"}},
            "template": {"serviceAccount": "reviews", "ports": {"http": 8080}, "locality": "east", "weight": 3},
        },
    }
)
SERVICE = parse_object(
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "reviews", "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": "reviews"}},
    }
)
ENTRY = Entry(
    "shop",
    "reviews-10.1.0.1-vm",
    "reviews",
    "10.1.0.1",
    "pilot-1",
    1_767_225_600_000_000_007,
    {"version": "v1"},
    locality=("east", "a", ""),
    network="vm",
)
GROUPS = {("shop", "reviews"): GROUP}
NAME = ENTRY.key


def made(entry=ENTRY):
    return Documents().of([entry], GROUPS)


def stored(wanted):
    return {name: Config(parse_object(document), 7) for name, document in wanted.items()}


def test_an_object_says_what_its_group_and_its_proxy_say():
    document = made()[NAME]
    mark = document["metadata"]["annotations"].pop("meshcore.io/registration")
    assert len(mark) == 16
    assert document == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {
            "name": "reviews-10.1.0.1-vm",
            "namespace": "shop",
            "labels": {"app": "reviews"},
            "annotations": {
                "team": "books",
                "istio.io/autoRegistrationGroup": "reviews",
                "istio.io/workloadController": "pilot-1",
                "istio.io/connectedAt": "2026-01-01T00:00:00.000000007Z",
            },
            "ownerReferences": [
                {
                    "apiVersion": "networking.istio.io/v1",
                    "kind": "WorkloadGroup",
                    "name": "reviews",
                    "uid": "u-1",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "address": "10.1.0.1",
            "labels": {"app": "reviews", "version": "v1"},
            "ports": {"http": 8080},
            "network": "vm",
            "locality": "east/a",
            "weight": 3,
            "serviceAccount": "reviews",
        },
    }
    assert status_of(NAME, healthy=False, now="T")["status"]["conditions"][0]["status"] == "False"


def test_without_its_group_an_entry_has_no_object():
    assert Documents().of([ENTRY], {}) == {}


def test_an_object_is_made_anew_when_its_entry_or_its_group_is_another():
    kept = Documents()
    first = kept.of([ENTRY], GROUPS)[NAME]
    assert kept.of([ENTRY], GROUPS)[NAME] is first
    assert kept.of([replace(ENTRY, owner="pilot-2")], GROUPS)[NAME] != first
    assert kept.of([ENTRY], GROUPS)[NAME] == first
    template = GROUP.spec.template.model_copy(update={"weight": 9})
    heavier = GROUP.model_copy(update={"spec": GROUP.spec.model_copy(update={"template": template})})
    assert kept.of([ENTRY], {("shop", "reviews"): heavier})[NAME]["spec"]["weight"] == 9
    assert kept.of([], GROUPS) == {}


def test_what_is_there_is_not_written_again():
    wanted = made()
    (create,) = writes(wanted, {}, (), may_delete=True)
    assert (create.method, create.path) == ("POST", "/apis/networking.istio.io/v1/namespaces/shop/workloadentries")
    assert writes(wanted, stored(wanted), (), may_delete=True) == ()
    again = made(replace(ENTRY, connection=ENTRY.connection + 1, healthy=False))
    assert writes(again, stored(wanted), (), may_delete=True) == (), "a new connection to the same Pilot"
    assert writes(wanted, {}, {NAME}, may_delete=True) == (), "it is being written"


@pytest.mark.parametrize("change", [{"owner": "pilot-2"}, {"labels": {}}, {"service_account": "other"}])
def test_what_has_changed_is_exchanged(change):
    (write,) = writes(made(replace(ENTRY, **change)), stored(made()), (), may_delete=False)
    assert write.method == "PATCH"
    assert write.path.endswith("/workloadentries/reviews-10.1.0.1-vm")
    assert {step["path"] for step in write.body} >= {"/spec", "/metadata/annotations", "/metadata/labels"}


def test_what_is_gone_is_deleted_when_this_process_knows_enough():
    seen = stored(made())
    assert writes({}, seen, (), may_delete=False) == ()
    (write,) = writes({}, seen, (), may_delete=True)
    assert (write.method, write.name) == ("DELETE", NAME)


def test_an_object_that_somebody_wrote_is_left_alone():
    document = made()[NAME]
    by_hand = {**document, "metadata": {**document["metadata"], "annotations": {}}}
    seen = {NAME: Config(parse_object(by_hand), 7)}
    assert writes(made(), seen, (), may_delete=True) == ()
    assert writes({}, seen, (), may_delete=True) == ()
    assert untold({NAME: True}, seen, {}) == {}


def test_health_is_told_once():
    seen = stored(made())
    assert untold({NAME: True}, {}, {}) == {}, "it is not there yet"
    assert untold({NAME: True}, seen, {}) == {NAME: True}
    assert untold({NAME: True}, seen, {NAME: True}) == {}
    assert untold({NAME: False}, seen, {NAME: True}) == {NAME: False}


def test_an_object_of_a_registration_makes_no_second_endpoint():
    mesh = MeshSnapshot.of([SERVICE, GROUP, parse_object(made()[NAME])])
    assert mesh.registry.endpoints == {}
    (found,) = mesh.with_registered([ENTRY.workload()]).registry.endpoints.values()
    assert [endpoint.address for endpoint in found] == ["10.1.0.1"]


def test_a_long_name_keeps_its_end():
    class Long:
        namespace, auto_register_group, network = "shop", "g" * 250, "vm"
        instance_ips, labels, type, locality = ("10.1.0.1",), {}, None, ENTRY.workload().locality
        service_account = cluster = ""
        is_agent = True

    name = entry_of(Long(), "pilot-1", 1, healthy=True).name
    assert len(name) == 253
    assert name.endswith("-10.1.0.1-vm")
