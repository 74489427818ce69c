"""Changes of a mesh that property tests draw, and proxies of every sort to compile it for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drawn_objects import KINDS, NAMES, NAMESPACES, document
from hypothesis import strategies as st
from meshcore.distribution.keys import Key
from meshcore.model.kinds import by_kind
from meshcore.model.load import dump_object, parse_object
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import ProxyClass, classify
from pilot.core.registry import RegisteredWorkload
from pilot.core.snapshot import MeshSnapshot


@dataclass(frozen=True)
class Record:
    revision: int
    body: dict[str, Any] | None

    @property
    def deleted(self) -> bool:
        return self.body is None

    @property
    def object(self) -> dict[str, Any]:
        return self.body or {}


@dataclass(frozen=True)
class Change:
    key: tuple[str, str, str, str]
    record: Record
    previous: Record | None = None


def _steps(kinds, least, most):
    return st.lists(
        st.tuples(
            st.sampled_from(kinds),
            st.sampled_from(NAMESPACES),
            st.sampled_from(NAMES),
            st.integers(-2, 11),  # negative: the object is deleted
        ),
        min_size=least,
        max_size=most,
    )


STEPS = _steps(KINDS, 1, 25)
_START = (
    *(("Service", namespace, name) for namespace in ("shop", "other") for name in NAMES),
    *(
        (kind, namespace, name)
        for kind in ("VirtualService", "Sidecar")
        for namespace, name in (("shop", "a"), ("other", "b"))
    ),
)
SCOPED_START = st.tuples(*(st.tuples(*map(st.just, place), st.integers(0, 11)) for place in _START))
"""A mesh with services, routes and Sidecars to begin with."""
SCOPED = _steps(
    (
        "Service",
        "ServiceEntry",
        "EndpointSlice",
        "Endpoints",
        "Pod",
        "WorkloadEntry",
        "VirtualService",
        "DestinationRule",
        "PeerAuthentication",
        "Sidecar",
    ),
    15,
    30,
)
"""Of the kinds that a Sidecar keeps from those who do not import them."""

REGISTERED = (
    RegisteredWorkload("r1", "shop", "a", "10.3.0.1", {"extra": "1"}, "a"),
    RegisteredWorkload("r2", "shop", "b", "10.3.0.2", {}, "b"),
    RegisteredWorkload("r3", "other", "c", "10.3.0.3", {}, "c", healthy=False),
)

NODES = [
    {
        "id": f"sidecar~10.1.0.{index}~{app}.{namespace}~{namespace}.svc.cluster.local",
        "metadata": {"NAMESPACE": namespace, "LABELS": {"app": app, "tier": "a"}, **more},
    }
    for index, (app, namespace, more) in enumerate(
        [
            ("a", "shop", {"TEAM": "b", "NETWORK": "a"}),
            ("b", "other", {}),
            ("a", "shop", {"INTERCEPTION_MODE": "NONE", "MESHCORE_APP_ADDRESS": "127.1.1.1"}),
            ("b", "other", {"INTERCEPTION_MODE": "NONE", "MESHCORE_APP_ADDRESS": "127.1.1.2"}),
        ],
        start=1,
    )
]

SIDECARS = tuple(NODES)

NODES += [
    {
        "id": f"router~10.1.0.8~gateway.{namespace}~{namespace}.svc.cluster.local",
        "metadata": {"NAMESPACE": namespace, "LABELS": {"app": "a", "istio": "ingressgateway"}, **more},
    }
    for namespace, more in [
        ("shop", {}),
        ("other", {"INTERCEPTION_MODE": "NONE", "MESHCORE_APP_ADDRESS": "127.1.1.8", "UNPRIVILEGED_POD": "true"}),
    ]
]


def changes_of(steps) -> list[Change]:
    last: dict[Key, Record] = {}
    changes = []
    for revision, (kind, namespace, name, variant) in enumerate(steps, start=1):
        body = document(kind, namespace, name, max(variant, 0))
        info = by_kind(body["apiVersion"], kind)
        key = Key(info.group, info.plural, body["metadata"].get("namespace", ""), body["metadata"]["name"])
        record = Record(revision, None if variant < 0 else dump_object(parse_object(body)))
        changes.append(Change(key, record, last.get(key)))
        last[key] = record
    return changes


def moves(steps) -> Iterator[tuple[Change, MeshSnapshot, MeshSnapshot]]:
    """Each change, with the mesh before and after it."""
    snapshot = MeshSnapshot.empty().with_registered(REGISTERED)
    for change in changes_of(steps):
        before, snapshot = snapshot, snapshot.apply([change])
        yield change, before, snapshot


def classes_that_stay(nodes, before: MeshSnapshot, after: MeshSnapshot) -> list[ProxyClass]:
    """Of proxies that are of one class in both meshes."""
    proxies = [parse_node(node) for node in nodes]
    both = [(classify(proxy, before.selection), classify(proxy, after.selection)) for proxy in proxies]
    return [one for one, then in both if one == then]


def compiled(snapshot: MeshSnapshot, cache: CompileCache | None = None):
    found = []
    for node in NODES:
        resources = compile_resources(snapshot, classify(parse_node(node), snapshot.selection), cache)
        by_type = {t: dict(m) for t, m in resources.resources.items()}
        found.append((by_type, resources.diagnostics, resources.secrets))
    return found
