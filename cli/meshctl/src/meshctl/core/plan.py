"""Which processes make a stack: their command lines, environments, listening addresses and signs of readiness. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from json import dumps
from typing import Any

from pilot.core.registry.endpoint import NETWORK_LABEL

from meshctl.core import topology as t
from meshctl.core.layout import Layout
from meshctl.core.workloads import GRPC, ROUTER, SIDECAR, Workload, filled


class Role(StrEnum):
    """What a process is to the stack; services start first, proxies last."""

    SERVICE = "service"
    APPLICATION = "application"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How one process is run.

    `environment` is laid over the supervisor's own; a key with the value None is taken out of it. `listens` are the
    addresses that must be free before it starts. `ready_url` answers 200 when it is ready; without one it is ready
    when all of `listens` accept connections. `grace` is how long it may take to end after SIGTERM.
    """

    name: str
    role: Role
    argv: tuple[str, ...]
    environment: Mapping[str, str | None] = field(default_factory=dict)
    listens: tuple[tuple[str, int], ...] = ()
    ready_url: str | None = None
    grace: timedelta = timedelta(seconds=5)

    def digest(self) -> str:
        """Changes with anything that needs a restart; a running process of the same digest is adopted."""
        environment = sorted(self.environment.items())
        return sha256(dumps([self.argv, environment]).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class StackSettings:
    """What `up` was asked for."""

    stack: t.Stack
    layout: Layout
    python: str
    nats_server: str
    pilots: int = 1
    pilot_workers: int = 1
    trust_domain: str = "cluster.local"


def init_command(settings: StackSettings) -> tuple[str, ...]:
    """The one-shot command that makes every first key, certificate and token; idempotent."""
    return (
        settings.python, "-m", "citadel", "init",
        "--dir", settings.layout.identities,
        "--trust-domain", settings.trust_domain,
        "--profile", "machine",
        "--stack", str(settings.stack.number),
    )  # fmt: skip


def service_specs(settings: StackSettings) -> tuple[ProcessSpec, ...]:
    """NATS and the services of the stack, in the order in which they are started."""
    stack, layout = settings.stack, settings.layout
    nats = ProcessSpec(
        name="nats",
        role=Role.SERVICE,
        argv=(settings.nats_server, "-c", f"{layout.identities}/nats/nats.conf"),
        listens=((stack.nats, t.NATS_PORT), (stack.nats, t.NATS_MONITOR_PORT)),
        ready_url=f"http://{stack.nats}:{t.NATS_MONITOR_PORT}/healthz",
    )
    galley_environment = {"GALLEY_PILOT_URL": f"http://{stack.pilot()}:{t.ADMIN_PORT}"}
    galley = _service(settings, "galley", stack.galley, (t.CONFIG_API_PORT,), galley_environment)
    citadel_environment = {
        "CITADEL_TOKEN_ISSUER": f"https://{stack.galley}:{t.CONFIG_API_PORT}",
        "CITADEL_ROOT_FILE": layout.root_certificate,
    }
    citadel = _service(settings, "citadel", stack.citadel, (t.CA_PORT,), citadel_environment)
    injector = _service(settings, "injector", stack.injector, (t.WEBHOOK_PORT,))
    pilots = tuple(_pilot(settings, index) for index in range(1, settings.pilots + 1))
    return (nats, galley, citadel, *pilots, injector)


def _pilot(settings: StackSettings, index: int) -> ProcessSpec:
    arguments = ("--workers", str(settings.pilot_workers)) if settings.pilot_workers > 1 else ()
    galley = settings.stack.galley
    environment = {
        "PILOT_INSTANCE": t.pilot_name(index),
        "PILOT_GALLEY_ADDRESS": f"{galley}:{t.MCP_PORT}",
        "PILOT_GALLEY_URL": f"https://{galley}:{t.CONFIG_API_PORT}",
        "PILOT_TOKEN_ISSUER": f"https://{galley}:{t.CONFIG_API_PORT}",
    }
    address = settings.stack.pilot(index)
    return _service(settings, t.pilot_name(index), address, (t.XDS_PORT, t.XDS_PLAINTEXT_PORT), environment, arguments)


def _service(
    settings: StackSettings,
    name: str,
    address: str,
    ports: Sequence[int],
    environment: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
) -> ProcessSpec:
    module = name.split("-", maxsplit=1)[0]
    layout, prefix = settings.layout, module.upper()
    common = {
        f"{prefix}_NATS_URL": f"nats://{settings.stack.nats}:{t.NATS_PORT}",
        f"{prefix}_IDENTITY_DIR": f"{layout.identities}/{module}",
        f"{prefix}_STATE_DIR": layout.state(name),
        f"{prefix}_HOST": address,
        f"{prefix}_ADMIN_HOST": address,
        f"{prefix}_ADMIN_PORT": str(t.ADMIN_PORT),
        f"{prefix}_CITADEL_ADDRESS": f"{settings.stack.citadel}:{t.CA_PORT}",
        f"{prefix}_TRUST_DOMAIN": settings.trust_domain,
        f"{prefix}_LOG_FORMAT": "json",
    }
    return ProcessSpec(
        name=name,
        role=Role.SERVICE,
        argv=(settings.python, "-m", module, *arguments),
        environment=common | dict(environment or {}),
        listens=tuple((address, port) for port in (*ports, t.ADMIN_PORT)),
        ready_url=f"http://{address}:{t.ADMIN_PORT}/readyz",
    )


def application_spec(settings: StackSettings, workload: Workload, number: int, directory: str) -> ProcessSpec | None:
    """The application of a workload, or None when it has none."""
    if not workload.command:
        return None
    host, proxy = settings.stack.application(number), f"{settings.stack.proxy(number)}:{t.PROXY_HTTP_PORT}"
    environment: dict[str, str | None] = {"http_proxy": f"http://{proxy}", "no_proxy": None}
    if workload.type == GRPC:
        host = settings.stack.proxy(number)
        environment = {"GRPC_XDS_BOOTSTRAP": _grpc_bootstrap(settings, number)}
    values = {"python": settings.python, "host": host, "proxy": proxy, "dir": directory}
    return ProcessSpec(
        name=f"{workload.name}-app",
        role=Role.APPLICATION,
        argv=filled(workload.command, values),
        environment=environment | dict(workload.env),
        listens=tuple((host, port) for port in workload.ports),
    )


def proxy_spec(
    settings: StackSettings, workload: Workload, number: int, proxy_config: Mapping[str, Any] | None = None
) -> ProcessSpec:
    """The proxy of a workload, a sidecar or a gateway: the node agent, which runs the Envoy.

    `proxy_config` is what the mesh and the workload say together (`meshctl.core.proxy_settings`).
    """
    stack, layout = settings.stack, settings.layout
    address = stack.proxy(number)
    pilot = stack.pilot((number - 1) % settings.pilots + 1)
    environment: dict[str, str | None] = {
        "POD_NAME": workload.name,
        "POD_NAMESPACE": workload.namespace,
        "SERVICE_ACCOUNT": workload.service_account,
        "INSTANCE_IP": address,
        "INSTANCE_IPS": address,
        "TRUST_DOMAIN": settings.trust_domain,
        "CA_ADDR": f"{stack.citadel}:{t.CA_PORT}",
        "PILOT_ADDR": f"{pilot}:{t.XDS_PORT}",
        "CA_ROOT_CERT": layout.root_certificate,
        "TOKEN_PATH": layout.token(number),
        "STATE_DIR": layout.workload(number),
        "STATE_KEY_FILE": layout.state_key(workload.namespace, workload.name),
        "ISTIO_META_INTERCEPTION_MODE": "NONE",
        "ISTIO_META_CLUSTER_ID": "Kubernetes",
        "ISTIO_META_NAMESPACE": workload.namespace,
        "ISTIO_META_WORKLOAD_NAME": workload.name,
        "ISTIO_METAJSON_LABELS": dumps(dict(workload.labels), sort_keys=True),
        "ISTIO_META_MESHCORE_APP_ADDRESS": stack.application(number),
        "http_proxy": None,
        "https_proxy": None,
        "HTTP_PROXY": None,
        "HTTPS_PROXY": None,
    }
    if workload.group:
        environment["ISTIO_META_AUTO_REGISTER_GROUP"] = workload.group
    if network := workload.labels.get(NETWORK_LABEL):
        environment["ISTIO_META_NETWORK"] = network
    told = {"PROXY_CONFIG": dumps(proxy_config, sort_keys=True)} if proxy_config else {}
    ports = (t.STATUS_PORT, t.HEALTH_PORT, t.ENVOY_STATS_PORT, *workload.ports)
    if workload.type == ROUTER:
        environment["ISTIO_META_UNPRIVILEGED_POD"] = "true"
    elif workload.type == GRPC:
        ports = (t.STATUS_PORT,)
        del environment["ISTIO_META_MESHCORE_APP_ADDRESS"]
        environment |= {"DISABLE_ENVOY": "true", "GRPC_XDS_BOOTSTRAP": _grpc_bootstrap(settings, number)}
    else:
        ports = (t.PROXY_HTTP_PORT, *ports)
    return ProcessSpec(
        name=workload.name,
        role=Role.PROXY,
        argv=(settings.python, "-m", "envoy_bootstrap", "proxy", ROUTER if workload.type == ROUTER else SIDECAR),
        environment=environment | dict(workload.proxy_env) | told,
        listens=tuple((address, port) for port in ports),
        ready_url=f"http://{address}:{t.STATUS_PORT}/healthz/ready",
        grace=timedelta(seconds=15),
    )


def _grpc_bootstrap(settings: StackSettings, number: int) -> str:
    return f"{settings.layout.workload(number)}/grpc-bootstrap.json"
