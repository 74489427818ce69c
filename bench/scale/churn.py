"""Changes of config as a mesh sees them all day, drawn from a seed: endpoints most of all, then routes, rules,
policies, services and visibility. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable

from bench.scale.client.node import namespace_of
from bench.scale.fed_objects import NETWORKING, SECURITY, Document, documents, endpoint_changed, entry, made

MOST_AT_ONCE = 4
MORE_SERVICES = 20
"""Services that come and go beside those that stay."""
Key = tuple[str, str, str]


class Churn:
    """The objects that there are, and what is done next. `services` stay; everything else comes and goes."""

    def __init__(self, seed: int, services: int, classes: int) -> None:
        self._draw = random.Random(seed)
        self._services, self._classes = services, classes
        self.start = list(documents(services, classes, captured=False, seed=seed))
        self._present = {_key(one) for one in self.start}
        self._turn = 0
        self._ways: dict[Callable[[], Document | Key], int] = {
            self._endpoints: 40,
            self._slice: 15,
            self._route: 15,
            self._rule: 10,
            self._policy: 10,
            self._service: 10,
            self._mesh_policy: 3,
            self._mutual_tls: 3,
            self._sidecar: 3,
        }

    def step(self) -> list[Document]:
        """One change set: `operation` and `object` of each change."""
        ways, weights = list(self._ways), list(self._ways.values())
        changes: dict[Key, Document] = {}
        for _ in range(self._draw.randint(1, MOST_AT_ONCE)):
            self._turn += 1
            one = self._draw.choices(ways, weights)[0]()
            if isinstance(one, dict):
                changes.setdefault(_key(one), {"operation": "apply", "object": one})
            else:
                version, kind, space, name = (*one[0].split(" "), *one[1:])
                changes.setdefault(one, {"operation": "delete", "object": made(version, kind, space, name, {})})
        for key, change in changes.items():
            (self._present.add if change["operation"] == "apply" else self._present.discard)(key)
        return list(changes.values())

    def _one(self) -> tuple[int, str]:
        number = self._draw.randrange(self._services)
        return number, namespace_of(number % self._classes)

    def _space(self) -> str:
        return namespace_of(self._draw.randrange(self._classes))

    def _changed_or_gone(self, one: Document, chance: float = 0.3) -> Document | Key:
        """Written, unless it is there and its time has come."""
        key = _key(one)
        return key if key in self._present and self._draw.random() < chance else one

    def _endpoints(self) -> Document | Key:
        number, space = self._one()
        return entry(number, space, self._turn)

    def _slice(self) -> Document | Key:
        return endpoint_changed(self._turn)

    def _route(self) -> Document | Key:
        number, space = self._one()
        host = f"svc-{number}.bench.example"
        rule = {"timeout": f"{self._turn % 50 + 1}s", "route": [{"destination": {"host": host}}]}
        spec = {"hosts": [host], "http": [rule]}
        return self._changed_or_gone(made(NETWORKING, "VirtualService", space, f"svc-{number}", {"spec": spec}))

    def _rule(self) -> Document | Key:
        number, space = self._one()
        pool = {"tcp": {"maxConnections": self._turn % 500 + 1}}
        subsets = [{"name": "v1", "labels": {"version": "v1"}}] if self._draw.random() < 0.5 else []
        spec = {"host": f"svc-{number}.bench.example", "trafficPolicy": {"connectionPool": pool}, "subsets": subsets}
        return self._changed_or_gone(made(NETWORKING, "DestinationRule", space, f"svc-{number}", {"spec": spec}))

    def _policy(self) -> Document | Key:
        kind = self._draw.randrange(self._classes)
        rules = [{"to": [{"operation": {"notPaths": [f"/never-{self._turn}"]}}]}]
        spec = {"selector": {"matchLabels": {"app": f"app-{kind}"}}, "rules": rules}
        return self._changed_or_gone(
            made(SECURITY, "AuthorizationPolicy", namespace_of(kind), "churned", {"spec": spec})
        )

    def _service(self) -> Document | Key:
        number = self._draw.randrange(MORE_SERVICES)
        spec = {"ports": [{"name": "http", "port": 9080 + self._turn % 3}]}
        return self._changed_or_gone(made("v1", "Service", "bench-0", f"more-{number}", {"spec": spec}), 0.5)

    def _mesh_policy(self) -> Document | Key:
        spec = {"rules": [{"to": [{"operation": {"notPaths": [f"/never-{self._turn}"]}}]}]}
        return self._changed_or_gone(made(SECURITY, "AuthorizationPolicy", "istio-system", "all", {"spec": spec}))

    def _mutual_tls(self) -> Document | Key:
        mode = self._draw.choice(("STRICT", "PERMISSIVE"))
        space = self._space()
        return self._changed_or_gone(
            made(SECURITY, "PeerAuthentication", space, "default", {"spec": {"mtls": {"mode": mode}}}), 0.5
        )

    def _sidecar(self) -> Document | Key:
        hosts = ["istio-system/*", "./*", *({f"{self._space()}/*"} if self._draw.random() < 0.5 else ())]
        hosts = list(dict.fromkeys(hosts))
        spec = {"egress": [{"hosts": hosts}]}
        return self._changed_or_gone(made(NETWORKING, "Sidecar", self._space(), "default", {"spec": spec}), 0.7)


def _key(one: Document) -> Key:
    metadata = one["metadata"]
    return f"{one['apiVersion']} {one['kind']}", metadata.get("namespace", ""), metadata["name"]
