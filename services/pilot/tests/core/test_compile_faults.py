"""A compile that fails costs what is about the object that it fails on, and nothing else."""

import pytest
from meshcore.xds.frames import Frames
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.class_configs import ClassConfigs
from pilot.core.compile_faults import TRIES
from pilot.core.compiler import compile_resources
from pilot.core.compiling import never, nothing
from pilot.core.config import Config
from pilot.core.intake import UNEXPECTED
from pilot.core.isolation import Isolation
from pilot.core.lanes import EndpointChanges
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

WORDS = "what an object says"
NODE = {
    "id": "sidecar~10.1.0.9~web-1.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "web", "LABELS": {"app": "web", "tier": "front"}},
}
WEB = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 8080}]}
---
"""
DETAILS = WEB.replace("web", "details").replace("10.0.0.1", "10.0.0.2")
ROUTE_NAME, RULE_NAME = ("VirtualService", "shop", "r"), ("DestinationRule", "shop", "d")
POLICY_NAME = ("AuthorizationPolicy", "shop", "p")


def networking(kind, name, spec):
    return (
        f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {spec}\n---\n"
    )


def route(seconds=1, labels=""):
    match = f"match: [{{sourceLabels: {{{labels}}}}}], " if labels else ""
    spec = f"{{hosts: [web], http: [{{{match}timeout: {seconds}s, route: [{{destination: {{host: web}}}}]}}]}}"
    return networking("VirtualService", "r", spec)


def rule(connections=1, tls="DISABLE"):
    tls = f"tls: {{mode: {tls}}}, " if tls else ""
    limits = f"connectionPool: {{tcp: {{maxConnections: {connections}}}}}"
    return networking("DestinationRule", "d", f"{{host: web, trafficPolicy: {{{tls}{limits}}}}}")


def policy(method, selector=""):
    chosen = f"selector: {{matchLabels: {{{selector}}}}}, " if selector else ""
    spec = f"{{{chosen}action: DENY, rules: [{{to: [{{operation: {{methods: [{method}]}}}}]}}]}}"
    return networking("AuthorizationPolicy", "p", spec).replace("networking", "security")


class Spoiling:
    """Objects that the indexes take, and in which some part fails as soon as a compile reads it."""

    def __init__(self):
        self.compiling = False
        self.compiles = 0

    def compile(self, snapshot, one):
        self.compiling, self.compiles = True, self.compiles + 1
        try:
            return compile_resources(snapshot, one)
        finally:
            self.compiling = False

    def spoil(self, part, field):
        whole = type(part)

        class Spoiled(whole):
            def __getattribute__(part, name):
                if name == field and self.compiling:
                    raise KeyError(WORDS)
                return whole.__getattribute__(part, name)

        object.__setattr__(part, "__class__", Spoiled)


@pytest.fixture
def spoiling():
    return Spoiling()


@pytest.fixture
def configs(spoiling):
    return ClassConfigs(spoiling.compile, never, nothing, Isolation(), Frames(), EndpointChanges())


@pytest.fixture
def mesh(objects, spoiling):
    """Meshes of texts, one after another; the objects of those in `bad` are spoiled."""

    def made(*good, bad=(), before=None, revision=2):
        steps = {}
        for text in good:
            steps |= {(item.kind, *item.namespaced_name): Config(item, revision) for item in objects(text)}
        for text in bad:
            (item,) = objects(text)
            spec = item.spec
            if item.kind == "VirtualService":
                spoiling.spoil(spec.http[0], "timeout")
            elif item.kind == "DestinationRule":
                spoiling.spoil(spec.traffic_policy.connection_pool, "tcp")
            else:
                spoiling.spoil(spec.rules[0], "to")
            steps[item.kind, *item.namespaced_name] = Config(item, revision)
        return (before or MeshSnapshot.empty()).with_forms(steps)

    return made


def of(snapshot):
    return classify(parse_node(NODE), snapshot.selection)


def bodies(made):
    return {kind: {name: one.body for name, one in named.items()} for kind, named in made.resources.items()}


def clusters(made):
    return {name.rpartition("|")[2].partition(".")[0] for name in made.of_type(CLUSTER_TYPE) if "outbound" in name}


@pytest.mark.parametrize(
    ("source", "good", "bad"),
    [
        (ROUTE_NAME, route(), route(2)),
        (RULE_NAME, rule(tls=""), rule(2, tls="")),
        (RULE_NAME, rule(), rule(2)),
        (POLICY_NAME, policy("GET"), policy("PUT")),
    ],
)
def test_who_had_a_good_form_keeps_it_and_takes_everything_else(configs, mesh, source, good, bad):
    first = mesh(WEB, good)
    configs.resources(of(first), first)
    second = mesh(DETAILS, bad=[bad], before=first, revision=3)
    found = configs.resources(of(second), second)
    assert clusters(found) == {"web", "details"}
    assert bodies(found) == bodies(compile_resources(mesh(DETAILS, before=first, revision=3), of(first)))
    (problem,) = configs.lacking[of(second)].values()
    assert (problem.source, problem.code, problem.brief) == (source, UNEXPECTED, "KeyError while config was made of it")
    assert problem.where[-1].startswith("test_compile_faults.py:")
    assert WORDS not in repr(problem)
    assert not configs.broken
    (told,) = configs.faults.news
    assert (told.config.revision, told.form) == (3, first.config(source))

    third = mesh(DETAILS.replace("details", "ratings"), before=second, revision=4)
    again = configs.resources(of(third), third)
    assert clusters(again) == {"web", "details", "ratings"}, "it goes on taking changes"
    assert len(configs.faults.news) == 1, "it is told once"
    fourth = mesh(bad, before=third, revision=5)
    assert bodies(configs.resources(of(fourth), fourth)) == bodies(compile_resources(fourth, of(fourth)))
    assert not configs.lacking


@pytest.mark.parametrize(("source", "bad"), [(ROUTE_NAME, route()), (RULE_NAME, rule(tls=""))])
def test_a_class_that_comes_new_has_everything_but_what_no_good_form_is_known_of(configs, mesh, source, bad):
    snapshot = mesh(WEB, DETAILS, bad=[bad])
    found = configs.resources(of(snapshot), snapshot)
    assert bodies(found) == bodies(compile_resources(mesh(WEB, DETAILS), of(snapshot)))
    assert set(configs.lacking[of(snapshot)]) == {source}


def test_a_class_that_comes_new_has_the_form_that_others_keep(configs, mesh):
    first = mesh(WEB, policy("GET"))
    configs.resources(of(first), first)
    second = mesh(bad=[policy("PUT")], before=first)
    kept = configs.resources(of(second), second)
    other = classify(parse_node({**NODE, "metadata": {**NODE["metadata"], "CLUSTER_ID": "c2"}}), second.selection)
    assert other != of(second)
    found = configs.resources(other, second)
    assert found.of_type(LISTENER_TYPE)["virtualInbound"].body == kept.of_type(LISTENER_TYPE)["virtualInbound"].body
    assert set(configs.lacking[other]) == {POLICY_NAME}


def gateway(tls):
    server = f"{{hosts: ['*'], port: {{name: s, number: 8443, protocol: HTTPS}}, tls: {{{tls}}}}}"
    return networking("Gateway", "g", f"{{selector: {{app: web}}, servers: [{server}]}}")


@pytest.mark.parametrize("tls", ["mode: SIMPLE, credentialName: c", "mode: MUTUAL, credentialName: c"])
def test_a_gateway_goes_only_if_it_asks_nobody_for_a_certificate(configs, spoiling, objects, tls):
    (item,) = objects(gateway(tls))
    spoiling.spoil(item.spec.servers[0], "hosts")
    snapshot = MeshSnapshot.empty().with_forms({("Gateway", "shop", "g"): Config(item, 2)})
    router = classify(parse_node({**NODE, "id": NODE["id"].replace("sidecar", "router")}), snapshot.selection)
    if "MUTUAL" in tls:
        with pytest.raises(KeyError):
            configs.resources(router, snapshot)
    else:
        configs.resources(router, snapshot)
        assert set(configs.lacking[router]) == {("Gateway", "shop", "g")}


@pytest.mark.parametrize("bad", [policy("GET"), rule(tls="SIMPLE")])
def test_nobody_is_served_without_what_may_keep_somebody_out(configs, mesh, bad):
    """Neither goes another object in its place: a Service without which nothing of it would be made."""
    alone = mesh(WEB, bad=[bad])
    with pytest.raises(KeyError):
        configs.resources(of(alone), alone)
    assert not configs.lacking
    assert configs.faults.news == []


def test_a_new_policy_that_cannot_be_compiled_keeps_the_config_as_it_was(configs, mesh):
    """Ports that come with it would be open to whom it keeps out."""
    first = mesh(WEB)
    kept = configs.resources(of(first), first)
    second = mesh(DETAILS, bad=[policy("GET")], before=first)
    assert configs.resources(of(second), second) is kept
    assert configs.broken == {of(second): f"KeyError: {WORDS!r} (in hand: AuthorizationPolicy/shop/p)"}
    third = mesh(policy("PUT"), before=second)
    assert bodies(configs.resources(of(third), third)) == bodies(compile_resources(third, of(third)))
    assert not configs.broken


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (policy("GET", "tier: front"), policy("GET", "app: web")),
        (route(1, "tier: front"), route(2)),
    ],
)
def test_a_form_that_asks_for_labels_that_classes_no_longer_tell_apart_is_no_good_form(configs, mesh, good, bad):
    """It would select nobody. The class of the proxy is another then, too: it has to have been in both meshes."""
    first = mesh(WEB, good)
    second = mesh(bad=[bad], before=first)
    one = of(second)
    assert one != of(first)
    kept = configs.resources(one, first)
    assert configs.resources(one, second) is kept
    assert set(configs.broken) == {one}
    assert not configs.lacking


def test_several_at_once_are_found(configs, mesh):
    first = mesh(WEB, route(), rule(), policy("GET"))
    configs.resources(of(first), first)
    second = mesh(DETAILS, policy("PUT"), bad=[route(2), rule(2)], before=first)
    found = configs.resources(of(second), second)
    assert set(configs.lacking[of(second)]) == {ROUTE_NAME, RULE_NAME}
    wanted = mesh(DETAILS, policy("PUT"), before=first)
    assert bodies(found) == bodies(compile_resources(wanted, of(second)))
    assert ROUTE_TYPE in found.resources


def test_what_was_tried_in_vain_comes_back(mesh):
    def compile_class(snapshot, one):
        for config in snapshot.virtual_services("shop"):
            assert config.name == "r"
        for service in snapshot.registry.services.values():
            if service.name == "details":
                raise KeyError(WORDS)
        return compile_resources(snapshot, one)

    configs = ClassConfigs(compile_class, never, nothing, Isolation(), Frames(), EndpointChanges())
    snapshot = mesh(WEB, DETAILS, route())
    found = configs.resources(of(snapshot), snapshot)
    assert set(configs.lacking[of(snapshot)]) == {("Service", "shop", "details")}
    assert bodies(found) == bodies(compile_resources(mesh(WEB, route()), of(snapshot)))


def test_a_failure_that_no_object_is_to_blame_for_is_looked_into_once(spoiling, mesh):
    broken = True

    def compile_class(snapshot, one):
        made = spoiling.compile(snapshot, one)
        return made if not broken else made.missing

    configs = ClassConfigs(compile_class, never, nothing, Isolation(), Frames(), EndpointChanges())
    broken = False
    first = mesh(WEB)
    kept = configs.resources(of(first), first)
    broken = True
    spoiling.compiles = 0
    second = mesh(DETAILS, route(), before=first)
    assert configs.resources(of(second), second) is kept
    assert 1 < spoiling.compiles <= 2 * TRIES
    spoiling.compiles = 0
    third = mesh(*(DETAILS.replace("details", f"s{number}") for number in range(TRIES)), before=second)
    configs.resources(of(third), third)
    assert spoiling.compiles == 1, "with so many changes only what is in hand may be at fault"
    broken = False
    fourth = mesh(rule(), before=third)
    assert bodies(configs.resources(of(fourth), fourth)) == bodies(compile_resources(fourth, of(fourth)))
    assert not configs.broken
