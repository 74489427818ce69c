"""Addresses in the status of objects: those of ServiceEntries that were given some, and of Ingresses."""

import pytest
from pilot.core.address_status import address_parts, changed_parts, notes_of, object_ids, status_path, told_by
from pilot.core.snapshot import MeshSnapshot

ENTRIES = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shops, namespace: shop}
spec: {hosts: [b.example, a.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: shop}
spec:
  hosts: [own.example]
  addresses: [192.0.2.7]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
"""
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front, namespace: shop, annotations: {kubernetes.io/ingress.class: CLASS}}
spec: {rules: [{host: front.example}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "ingressControllerMode: STRICT"}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {type: LoadBalancer, externalIPs: [192.0.2.9], ports: [{name: http, port: 80}]}
"""


def test_the_addresses_that_an_entry_was_given_are_told_with_their_hosts(objects):
    mesh = MeshSnapshot.of(objects(ENTRIES))
    ((place, part),) = address_parts(mesh).items()
    assert place == ("ServiceEntry", "shop", "shops")
    assert [one["host"] for one in part["addresses"]] == ["a.example", "a.example", "b.example", "b.example"]
    first, second = part["addresses"][:2]
    assert first["value"].startswith("240.240.")
    assert second["value"].startswith("2001:2::")
    assert status_path(place) == "/apis/networking.istio.io/v1/namespaces/shop/serviceentries/shops/status"


@pytest.mark.parametrize(
    ("status", "reached"),
    [
        ("", [{"ip": "192.0.2.9"}]),
        ("status: {loadBalancer: {}}", [{"ip": "192.0.2.9"}]),
        (
            "status: {loadBalancer: {ingress: [{ip: 192.0.2.5}, {hostname: b.example}, {ip: 192.0.2.4}]}}",
            [{"hostname": "b.example"}, {"ip": "192.0.2.4"}, {"ip": "192.0.2.5"}],
        ),
    ],
)
def test_an_ingress_is_where_the_gateway_of_ingresses_is(objects, status, reached):
    mesh = MeshSnapshot.of(objects(INGRESS.replace("CLASS", "istio") + status))
    assert address_parts(mesh) == {("Ingress", "shop", "front"): {"loadBalancer": {"ingress": reached}}}


def test_the_ingress_of_another_controller_is_its_own_business(objects):
    assert address_parts(MeshSnapshot.of(objects(INGRESS.replace("CLASS", "other")))) == {}


def test_what_is_told_is_not_told_again_and_taken_back_when_it_is_gone(objects):
    wanted = address_parts(MeshSnapshot.of(objects(ENTRIES + "---" + INGRESS.replace("CLASS", "istio"))))
    assert dict(changed_parts(wanted, {})) == wanted
    assert list(changed_parts(wanted, wanted)) == []
    taken = dict(changed_parts({}, wanted))
    assert taken == {
        ("Ingress", "shop", "front"): {"loadBalancer": {"ingress": None}},
        ("ServiceEntry", "shop", "shops"): {"addresses": None},
    }
    assert list(changed_parts({}, taken)) == []


def entries(*names, uid=""):
    one = ENTRIES.partition("---")[0]
    return "---".join(
        one.replace("name: shops", f"name: shop-{name}, uid: u{name}{uid}").replace(".example", f"{name}.example")
        for name in names
    )


def test_what_the_notes_say_is_told_already_but_of_a_group_in_which_something_changed(objects):
    first = MeshSnapshot.of(objects(entries(*range(300))))
    wanted = address_parts(first)
    notes = notes_of(wanted, object_ids(first, wanted))
    assert sum(map(len, [*notes, *notes.values()])) < 2000
    assert told_by(notes, wanted, object_ids(first, wanted)) == wanted
    assert told_by({}, wanted, object_ids(first, wanted)) == {}

    more = MeshSnapshot.of(objects(entries(*range(301))))
    told = told_by(notes, address_parts(more), object_ids(more, address_parts(more)))
    assert ("ServiceEntry", "shop", "shop-300") not in told
    assert 280 < len(told) < 300


def test_an_object_that_was_made_anew_has_not_been_told_anything(objects):
    before, after = (MeshSnapshot.of(objects(entries(1, 2, uid=uid))) for uid in ("a", "b"))
    wanted = address_parts(before)
    assert wanted == address_parts(after)
    assert told_by(notes_of(wanted, object_ids(before, wanted)), wanted, object_ids(after, wanted)) == {}
