"""Asks every service of a running control plane how it is, all at once: a silent one must not hold up the others."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import httpx
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.admin_api import AdminApi
from meshctl.adapters.compose import compose_control_plane
from meshctl.adapters.processes import records
from meshctl.adapters.stack_client import stack_status
from meshctl.adapters.stack_files import layout_of, running_settings, stack_from
from meshctl.core.check import Answer, Observed, Service
from meshctl.core.check.observed import PILOT
from meshctl.core.topology import ADMIN_PORT, NATS_MONITOR_PORT, Stack, pilot_name

TIMEOUT, LONGEST = 5.0, 20.0
"""Seconds that an answer may take, Pilot waits 2 for its other instances and workers; and one that is as long as the
mesh is large."""
PAGE = 1000
NATS = "nats"
UNSUPERVISED = "unsupervised"
_QUESTIONS = {
    "publisher": ("galley", "/debug/publisherz"),
    "sources": ("galley", "/debug/sourcez"),
    "injection": ("injector", "/debug/inject"),
    "authority": ("citadel", "/api/v1/ca"),
    "holders": ("citadel", "/api/v1/ca/holders"),
    "proxies": (PILOT, "/debug/syncz"),
}
"""What one instance of a service answers for all."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where the services of a control plane are asked, and as whom. `monitor` is the NATS server's page, where it is
    in reach; `root` the roots that serve TLS beyond loopback (PEM)."""

    services: Mapping[str, str]
    """URL of the admin API by name, empty where nothing runs."""
    token: str
    root: str | None = None
    monitor: str = ""
    stack: Stack | None = None

    def observe(self) -> Observed:
        """One look."""
        with ThreadPoolExecutor(max_workers=16) as pool:
            supervisor = pool.submit(self._status)
            told = [pool.submit(self._service, name, url) for name, url in self.services.items()]
            if self.monitor:
                told.insert(0, pool.submit(self._nats))
            services = [one.result() for one in told]
            # Who is silent is asked nothing more: it would take as long again.
            ask = partial(self._ask, [one for one in services if one.readiness.known])
            asked = {
                name: pool.submit(ask, kind, lambda api, path=path: api.get(path, timeout=LONGEST))
                for name, (kind, path) in _QUESTIONS.items()
            }
            pages = pool.submit(ask, "citadel", _certificates)
            answers = {name: one.result() for name, one in asked.items()}
            certificates, status = pages.result(), supervisor.result()
        rotation = Answer(fault="the authority is plugged in")
        if (answers["authority"].document or {}).get("kind") == "self-signed":
            rotation = ask("citadel", lambda api: api.get("/api/v1/ca/rotation", timeout=TIMEOUT))
        return Observed(
            client=package_version("meshctl"),
            at=datetime.now(UTC),
            services=tuple(services),
            supervised=not any(one["state"] == UNSUPERVISED for one in status.get("services", ())),
            workloads=tuple((f"{one['namespace']}/{one['name']}", one["state"]) for one in status.get("workloads", ())),
            certificates=certificates,
            rotation=rotation,
            **answers,
        )

    def _status(self) -> dict[str, Any]:
        """What the supervisor of an embedded stack says of its processes."""
        return {} if self.stack is None else stack_status(layout_of(self.stack))

    def _service(self, name: str, url: str) -> Service:
        if not url:
            return Service(name, "", Answer(fault="no container of it runs"))
        with self._api(name, url) as api:
            service = Service(name, url, _answer(api.readiness))
            if not service.readiness.known:
                return service
            service = replace(service, version=_answer(lambda: api.get("/version", timeout=TIMEOUT)))
            if service.kind == PILOT:
                in_force = _answer(lambda: api.get("/api/v1/in-force", timeout=TIMEOUT))
                service = replace(service, in_force=in_force)
        return service

    def _nats(self) -> Service:
        with AdminApi("NATS", self.monitor, "", TIMEOUT) as api:
            found = _answer(lambda: {"ready": api.get("/healthz", timeout=TIMEOUT).get("status") == "ok"})
            version = _answer(lambda: api.get("/varz", timeout=TIMEOUT)) if found.known else Answer()
        return Service(NATS, self.monitor, found, version, ours=False)

    def _ask(self, services: Sequence[Service], kind: str, question: Callable[[AdminApi], Any]) -> Answer:
        """What the first instance of a service says that answers."""
        answer = Answer()
        for service in services:
            if service.kind == kind:
                with self._api(service.name, service.admin) as api:
                    answer = _answer(partial(question, api))
                if answer.known:
                    break
        return answer

    def _api(self, name: str, url: str) -> AdminApi:
        return AdminApi(name, url, self.token, TIMEOUT, self.root)


def embedded_control_plane(number: int | None) -> ControlPlane:
    """The stack on this machine; FAILED_PRECONDITION when nothing of it runs."""
    stack = stack_from(number)
    layout = layout_of(stack)
    if not any(record.alive() for record in records(layout)):
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"stack {stack.number} does not run: `meshctl up`")
    addresses = {"galley": stack.galley, "citadel": stack.citadel}
    pilots = range(1, int(running_settings(layout).get("pilots", 1)) + 1)
    addresses |= {pilot_name(index): stack.pilot(index) for index in pilots}
    addresses["injector"] = stack.injector
    return ControlPlane(
        services={name: f"http://{address}:{ADMIN_PORT}" for name, address in addresses.items()},
        token=Path(layout.admin_token).read_text().strip(),
        monitor=f"http://{stack.nats}:{NATS_MONITOR_PORT}",
        stack=stack,
    )


def composed_control_plane(project: str | None) -> ControlPlane:
    """The stack of docker compose: the one project that runs, or the named one."""
    found = compose_control_plane(project)
    return ControlPlane(services=found.services, token=found.token, root=found.root)


def _answer(ask: Callable[[], Any]) -> Answer:
    try:
        return Answer(ask(), "")
    except MeshError as error:
        return Answer(fault=error.detail)
    except (httpx.HTTPError, ValueError) as error:
        return Answer(fault=f"it answers with something else: {type(error).__name__}")


def _certificates(api: AdminApi) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"limit": PAGE}
    while True:
        page = api.get("/api/v1/certificates", timeout=LONGEST, **asked)
        found += page["items"]
        if not page.get("continue"):
            return found
        asked["continue"] = page["continue"]
