"""Attack 39: policies change under load, from one state that refuses a request to another that refuses it too, and the
request never gets in on the way: not while one policy takes another's place, not while dry runs flip, not while the
labels that select the workload change, not while an authorizer takes over.

Each state has a path that tells it from the other, so that one is known to be in force before the next comes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from background_traffic import BackgroundTraffic
from mesh import ROWS, Mesh, shared_workloads, wait_until
from meshcore.testing.traffic_rows import workload_group
from meshctl.adapters.traffic import MeshConnection

HIDDEN = "/refuse"
"""What every state refuses; the echoes' authorizer does so by the word."""
DRY = {"istio.io/dry-run": "true"}
INGRESS = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: ingress, namespace: default}
spec:
  workloadSelector: {labels: {app: client}}
  ingress:
  - {port: {number: 9080, protocol: HTTP, name: http}, defaultEndpoint: "unix://@LEDGER"}
  egress: [{hosts: ["*/*"]}]
"""
JUDGE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: judge, namespace: default}
spec:
  hosts: [judge.test]
  ports: [{number: 9090, name: grpc, protocol: GRPC}]
  resolution: STATIC
  endpoints: [{address: ECHO}]
"""
Object = dict[str, Any]


@dataclass(frozen=True)
class State:
    """All that one state has beside what is always there, and a path whose status tells that it is in force."""

    objects: Sequence[Object]
    path: str
    status: int


def policy(name: str, spec: Object, *, namespace: str = "books", gate: str = "", dry: bool = False) -> Object:
    selector = {"selector": {"matchLabels": {"gate": gate}}} if gate else {}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": namespace, "annotations": DRY if dry else {}},
        "spec": {**spec, **selector},
    }


def rules(*paths: str) -> Object:
    return {"rules": [{"to": [{"operation": {"paths": list(paths)}}]}]}


def deny(*paths: str) -> Object:
    return {"action": "DENY", **(rules(*paths) if paths else {"rules": [{}]})}


def group(gate: str = "") -> Object:
    """The ledger's WorkloadGroup; a label more in it is at once one of its workload's."""
    made = workload_group(next(item for item in shared_workloads() if item["name"] == "ledger"))
    made["spec"]["metadata"]["labels"] |= {"gate": gate} if gate else {}
    return made


CHANGES = {
    "one ALLOW for another": (
        State([policy("one", rules("/a"))], "/a", 200),
        State([policy("two", rules("/b"))], "/a", 403),
    ),
    "one DENY for another": (
        State([policy("one", deny(HIDDEN))], "/a", 200),
        State([policy("two", deny())], "/a", 403),
    ),
    "the last ALLOW for a DENY": (
        State([policy("one", rules("/a"))], "/a", 200),
        State([policy("two", deny())], "/a", 403),
    ),
    "what runs dry and what counts change places": (
        State([policy("one", rules("/a")), policy("two", deny(), dry=True)], "/a", 200),
        State([policy("one", rules("/a"), dry=True), policy("two", deny())], "/a", 403),
    ),
    "the ALLOW that counts goes while another stops running dry": (
        State([policy("one", rules("/a")), policy("two", rules("/b"), dry=True)], "/a", 200),
        State([policy("two", rules("/b"))], "/a", 403),
    ),
    "the workload's label and the policy's selector": (
        State([group("one"), policy("gate", rules("/a"), gate="one")], "/a", 200),
        State([group("two"), policy("gate", rules("/b"), gate="two")], "/a", 403),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_attack_39_from_denied_to_denied_nothing_gets_in(mesh: Mesh, name: str) -> None:
    """Each change is one change set: a proxy has the whole of it or nothing."""
    one, two = CHANGES[name]
    Walk(mesh, restored=[group()]).through([[one], [two], [one], [two]])


def test_attack_39_label_and_selector_in_change_sets_that_do_not_wait_for_each_other(mesh: Mesh) -> None:
    """The new policy, the label, the old policy gone, in an order in which each state refuses."""
    policies = [policy("gate-one", rules("/a"), gate="one"), policy("gate-two", rules("/b"), gate="two")]
    between = [State([group(gate), *policies], "", 0) for gate in ("one", "two")]
    one, two = (State([group("one"), policies[0]], "/a", 200), State([group("two"), policies[1]], "/a", 403))
    there, back = [*between, two], [*reversed(between), one]
    Walk(mesh, restored=[group()]).through([[one], there, back, there])


def test_attack_39_an_authorizer_takes_over_with_all_that_it_needs(mesh: Mesh) -> None:
    """Service, provider and policy come at once. The provider fails open: who is asked before there is a way to the
    authorizer would be let in."""
    before = mesh.mesh_config()
    provider = {"service": "judge.test", "port": 9090, "failOpen": True}
    providers = {"extensionProviders": [{"name": "judge", "envoyExtAuthzGrpc": provider}]}
    text = yaml.safe_dump({**yaml.safe_load(before["data"]["mesh"]), **providers})
    naming = {**before, "data": {**before["data"], "mesh": text}}
    asking = {"action": "CUSTOM", "provider": {"name": "judge"}, **rules("*refuse")}
    judge = yaml.safe_load(JUDGE.replace("ECHO", mesh.stack.application(_number("echo-v1"))))
    one = State([policy("one", deny(HIDDEN))], "/a/refuse", 200)
    two = State([judge, naming, policy("two", asking)], "/a/refuse", 403)
    one_again = State([judge, policy("one", deny(HIDDEN))], "/a/refuse", 200)
    Walk(mesh, restored=[before]).through([[one], [two], [one_again], [two]])


def test_attack_39_at_a_workload_whose_pod_is_labelled_anew(mesh: Mesh) -> None:
    """The labels of a pod count as they are now, not as they were when its proxy started."""
    states = []
    for gate, path, status in (("one", "/b", 200), ("two", "/a", 403)):
        metadata = {"name": "client", "namespace": "default", "labels": {"app": "client", "gate": gate}}
        spec = {"serviceAccountName": "client", "containers": [{"name": "client"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        states.append(State([pod, policy("gate", deny(HIDDEN, path), namespace="default", gate=gate)], "/a", status))
    sidecar = yaml.safe_load(INGRESS.replace("LEDGER", mesh.stack.application(_number("ledger"))))
    mesh.converged(mesh.change([sidecar]))
    try:
        door = f"http://{mesh.stack.proxy(_number('client'))}:9080"
        Walk(mesh, proxy=door, host="http://client.test").through([[states[0]], [states[1]], [states[0]], [states[1]]])
    finally:
        mesh.converged(mesh.change((), delete=[sidecar]))


class Walk:
    """Leads the mesh from state to state under load."""

    def __init__(
        self, mesh: Mesh, *, restored: Sequence[Object] = (), proxy: str = "", host: str = "http://ledger.books:9080"
    ) -> None:
        self._mesh, self._proxy, self._host = mesh, proxy or mesh.proxy("client"), host
        self._restored = {_key(item): item for item in restored}
        self._present: Mapping[tuple[str, ...], Object] = {}

    def through(self, stretches: Sequence[Sequence[State]]) -> None:
        """The states of one stretch come without waiting for each other; the last of it is waited for."""
        first, *others = stretches
        wait_until("it is let in without a policy", lambda: self._status(HIDDEN) == 200)
        try:
            self._to(first)
            wait_until("it is refused", lambda: self._status(HIDDEN) == 403)
            with BackgroundTraffic(self._proxy, self._host + HIDDEN, rate=100) as traffic:
                for stretch in others:
                    self._to(stretch)
                    traffic.send_more(20)
            # On a machine without time callers may lose their endpoints for a moment: 503, which lets nobody in.
            statuses = Counter(reply.status for reply in traffic.replies)
            assert not {status for status in statuses if 200 <= status < 400}, statuses
            assert statuses[403] > len(traffic.replies) / 2
        finally:
            self._mesh.converged(self._change([]))

    def _to(self, stretch: Sequence[State]) -> None:
        for state in stretch:
            revision = self._change(state.objects)
        self._mesh.converged(revision)
        last = stretch[-1]
        wait_until(f"{last.status} for {last.path}", lambda: self._status(last.path) == last.status)

    def _change(self, objects: Sequence[Object]) -> int:
        wanted = self._restored | {_key(item): item for item in objects}
        gone = [item for key, item in self._present.items() if key not in wanted]
        self._present = wanted
        return self._mesh.change(list(wanted.values()), delete=gone)

    def _status(self, path: str) -> int:
        async def ask() -> int:
            connection = MeshConnection(self._proxy)
            try:
                return (await connection.get(self._host + path)).status
            finally:
                connection.close()

        return asyncio.run(ask())


def _key(item: Object) -> tuple[str, ...]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _number(workload: str) -> int:
    return 1 + [item.name for item in ROWS.workloads].index(workload)
