"""A change laid over the live config: what analysis says then and did not say before."""

from __future__ import annotations

from typing import Any

from galley.core.what_if import Alteration, warning_text, what_if
from meshcore.distribution.keys import Key

NETWORKING = "networking.istio.io"


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }


def virtual_service(name: str, host: str, **rule: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{NETWORKING}/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"hosts": [name], "http": [{"route": [{"destination": {"host": host}}], **rule}]},
    }


def key_of(document: dict[str, Any]) -> Key:
    group, plural = ("", "services") if document["kind"] == "Service" else (NETWORKING, "virtualservices")
    return Key(group, plural, "shop", document["metadata"]["name"])


LIVE = {key_of(one): one for one in (service("reviews"), service("ratings"), virtual_service("old", "gone-long-ago"))}
NAMESPACE = Key("", "namespaces", "", "shop")


def change(*documents: dict[str, Any]) -> list[Alteration]:
    return [Alteration(key_of(document), document) for document in documents]


def test_what_is_said_of_other_objects_already_is_not_said_again() -> None:
    assert what_if(LIVE, change(virtual_service("new", "reviews")), 0.0).messages == ()
    (message,) = what_if(LIVE, change(virtual_service("old", "gone-again")), 0.0).messages
    assert "gone-again" in message.text


def test_a_mistyped_host_comes_with_its_patch() -> None:
    (message,) = what_if(LIVE, change(virtual_service("new", "reviewz")), 0.0).messages
    assert (message.type.code, message.origin) == ("IST0101", "VirtualService shop/new")
    assert message.fix is not None
    assert message.fix.patch == (
        {"op": "replace", "path": "/spec/http/0/route/0/destination/host", "value": "reviews"},
    )
    assert warning_text(message).startswith("Error [IST0101] (VirtualService shop/new) Referenced host")
    assert warning_text(message).endswith('/destination/host", "value": "reviews"}]')


def test_objects_of_one_change_see_each_other() -> None:
    assert what_if(LIVE, change(virtual_service("new", "details"), service("details")), 0.0).messages == ()


def test_a_deletion_breaks_others_and_mends_others() -> None:
    live = LIVE | {key_of(one): one for one in [virtual_service("new", "ratings")]}
    (broken,) = what_if(live, [Alteration(key_of(service("ratings")), None)], 0.0).messages
    assert broken.origin == "VirtualService shop/new"
    found = what_if(live, [Alteration(key_of(virtual_service("old", "")), None)], 0.0)
    assert found.messages == ()
    assert [message.origin for message in found.resolved] == ["VirtualService shop/old"]


def test_a_namespace_goes_with_all_that_is_in_it() -> None:
    found = what_if(LIVE, [Alteration(NAMESPACE, None)], 0.0)
    assert found.messages == ()
    assert [message.origin for message in found.resolved] == ["VirtualService shop/old"]


def test_what_validation_says_is_not_repeated_and_the_rest_is_said() -> None:
    wrong = virtual_service("new", "reviewz", bogus=1)
    assert [message.type.code for message in what_if(LIVE, change(wrong), 0.0).messages] == ["IST0101"]
    shadowed = virtual_service("new", "reviews")
    shadowed["spec"]["http"] *= 2
    (message,) = what_if(LIVE, change(shadowed), 0.0).messages
    assert message.type.code == "IST0130"
    assert message.fix is not None
    assert [operation["op"] for operation in message.fix.patch] == ["remove"]


def test_documents_that_are_no_objects_are_passed_over() -> None:
    broken = Alteration(Key(NETWORKING, "virtualservices", "shop", "x"), {"metadata": 1, "kind": ["x"]})
    assert what_if(LIVE, [broken], 0.0).messages == ()
