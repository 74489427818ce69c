"""meshctl proxy-status and proxy-config: what the proxies of the running stack have."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.envoy_admin import EnvoyAdmin
from meshctl.adapters.pilot_api import PilotApi
from meshctl.adapters.stack_client import stack_status
from meshctl.adapters.stack_files import layout_of, stack_from
from meshctl.adapters.text_files import read_json_object
from meshctl.commands.options import (
    NamespaceOption,
    Output,
    OutputOption,
    StackOption,
    complain,
    failing_clearly,
    print_document,
    print_table,
    printable,
)
from meshctl.core import config_dump
from meshctl.core.dump_filters import Wanted
from meshctl.core.proxy_status import proxy_status_table, refusals, sync_table
from meshctl.core.sync_diff import render_comparison
from meshctl.core.topology import ADMIN_PORT


class Part(StrEnum):
    """What of a proxy's config to show."""

    CLUSTERS = "clusters"
    LISTENERS = "listeners"
    ROUTES = "routes"
    ENDPOINTS = "endpoints"
    SECRET = "secret"
    BOOTSTRAP = "bootstrap"
    ECDS = "ecds"
    ALL = "all"


ALIASES = {
    "cluster": Part.CLUSTERS,
    "extension": Part.ECDS,
    "ec": Part.ECDS,
    "c": Part.CLUSTERS,
    "listener": Part.LISTENERS,
    "l": Part.LISTENERS,
    "route": Part.ROUTES,
    "r": Part.ROUTES,
    "endpoint": Part.ENDPOINTS,
    "ep": Part.ENDPOINTS,
    "secrets": Part.SECRET,
    "s": Part.SECRET,
    "b": Part.BOOTSTRAP,
    "a": Part.ALL,
}


def running_pilot(stack: int | None) -> PilotApi:
    """Pilot's admin REST in the running stack, as its administrator."""
    chosen = stack_from(stack)
    layout = layout_of(chosen)
    try:
        token = Path(layout.admin_token).read_text().strip()
    except FileNotFoundError:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"stack {chosen.number} does not run: `meshctl up`") from None
    return PilotApi(f"http://{chosen.pilot()}:{ADMIN_PORT}", token)


@failing_clearly
def proxy_status(
    proxy: Annotated[str | None, typer.Argument(help="Only this proxy.")] = None,
    namespace: NamespaceOption = "default",
    verbosity: Annotated[int, typer.Option("--verbosity", "-v", help="1: whether each type is in sync.")] = 0,
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="The Envoy's `config_dump`, instead of asking it.")
    ] = None,
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Show which proxies are connected, and what each was sent and has acknowledged; of one proxy also how what it was
    sent differs from what its Envoy runs."""
    sent: Any = None
    with running_pilot(stack) as pilot:
        rows = pilot.sync_status()
        if proxy is not None:
            name, space = split_proxy(proxy, namespace)
            rows = [row for row in rows if row["proxy"] == f"{name}.{space}"]
            if not rows:
                raise MeshError(ErrorCode.NOT_FOUND, f"no proxy {name}.{space} is connected")
            sent = pilot.config_dump(f"{name}.{space}")
    if output is not Output.TABLE:
        print_document(rows, output)
        return
    print_table(sync_table(rows) if verbosity else proxy_status_table(rows))
    complain(*refusals(rows))
    if proxy is not None:
        try:
            running = read_json_object(file) if file else envoy_of(proxy, namespace, stack).config_dump()
        except MeshError as error:
            complain(f"not compared with what its Envoy runs: {error.detail}")
            return
        for line in render_comparison(sent, running):
            print(printable(line))


class DumpOutput(StrEnum):
    """Output formats of `proxy-config`; `short` is istioctl's word for the table."""

    TABLE = "table"
    SHORT = "short"
    JSON = "json"
    YAML = "yaml"


@failing_clearly
def proxy_config(
    part: Annotated[str, typer.Argument(help=f"{', '.join(Part)}")],
    proxy: Annotated[str | None, typer.Argument(help="NAME, NAME.NAMESPACE or NAMESPACE/NAME of a workload.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="Read this `config_dump` instead of asking an Envoy.")
    ] = None,
    fqdn: Annotated[str, typer.Option("--fqdn", help="clusters: of this host.")] = "",
    port: Annotated[int, typer.Option("--port", help="clusters, listeners, endpoints: of this port.")] = 0,
    direction: Annotated[str, typer.Option("--direction", help="clusters: inbound or outbound.")] = "",
    subset: Annotated[str, typer.Option("--subset", help="clusters: of this subset.")] = "",
    name: Annotated[str, typer.Option("--name", help="Of this very name.")] = "",
    address: Annotated[str, typer.Option("--address", help="listeners, endpoints: at this address.")] = "",
    kind: Annotated[str, typer.Option("--type", help="listeners: HTTP, TCP or HTTP+TCP.")] = "",
    cluster: Annotated[str, typer.Option("--cluster", help="endpoints: of this cluster.")] = "",
    status: Annotated[str, typer.Option("--status", help="endpoints: HEALTHY, UNHEALTHY...")] = "",
    namespace: NamespaceOption = "default",
    output: Annotated[DumpOutput, typer.Option("--output", "-o", help="Output format.")] = DumpOutput.TABLE,
    stack: StackOption = None,
) -> None:
    """Show what the Envoy of a workload runs."""
    chosen = ALIASES.get(part) or (Part(part) if part in set(Part) else None)
    if chosen is None:
        raise MeshError(ErrorCode.INVALID, f"there is no part {part!r}: {', '.join(Part)}")
    wanted = Wanted(fqdn, port, direction, subset, name, address, kind, status, cluster)
    dump, hosts = _dump_of(chosen, proxy, file, namespace, stack)
    if output in (DumpOutput.TABLE, DumpOutput.SHORT) and chosen is not Part.BOOTSTRAP:
        parts = _TABLES if chosen is Part.ALL else (chosen,)
        for one in parts:
            print_table(_table(one, dump, hosts, wanted))
            if chosen is Part.ALL and one is not parts[-1]:
                print()
        return
    form = Output.YAML if output is DumpOutput.YAML else Output.JSON
    print_document(dump if chosen is Part.ALL else _resources(chosen, dump, hosts, wanted), form)


_TABLES = (Part.CLUSTERS, Part.LISTENERS, Part.ROUTES, Part.SECRET, Part.ECDS, Part.ENDPOINTS)


def _dump_of(
    part: Part, proxy: str | None, file: str | None, namespace: str, stack: int | None
) -> tuple[Any, dict[str, Any]]:
    """The dump and the endpoints (`/clusters`) of an Envoy, or of a file."""
    if (proxy is None) == (file is None):
        raise MeshError(ErrorCode.INVALID, "say either a workload or --file CONFIG_DUMP")
    if file is not None:
        dump = read_json_object(file)
        return dump, dict(dump) if "cluster_statuses" in dump else config_dump.hosts_of_dump(dump)
    admin = envoy_of(str(proxy), namespace, stack)
    hosts = dict(admin.get("/clusters?format=json")) if part in (Part.ENDPOINTS, Part.ALL) else {}
    return admin.config_dump(), hosts


def _resources(part: Part, dump: Any, hosts: dict[str, Any], wanted: Wanted) -> Any:
    readers: dict[Part, Callable[[], Any]] = {
        Part.CLUSTERS: lambda: wanted.clusters(config_dump.clusters(dump)),
        Part.LISTENERS: lambda: wanted.listeners(config_dump.listeners(dump)),
        Part.ROUTES: lambda: wanted.routes(config_dump.routes(dump)),
        Part.ENDPOINTS: lambda: wanted.hosts(hosts)["cluster_statuses"],
        Part.SECRET: lambda: config_dump.secrets(dump),
        Part.ECDS: lambda: config_dump.extensions(dump),
        Part.BOOTSTRAP: lambda: config_dump.bootstrap(dump),
    }
    return readers[part]()


def _table(part: Part, dump: Any, hosts: dict[str, Any], wanted: Wanted) -> config_dump.Table:
    found = _resources(part, dump, hosts, wanted)
    match part:
        case Part.CLUSTERS:
            return config_dump.cluster_table(found)
        case Part.LISTENERS:
            return config_dump.listener_table(found)
        case Part.ROUTES:
            return config_dump.route_table(found)
        case Part.ECDS:
            return config_dump.extension_table(found)
        case Part.SECRET:
            return config_dump.secret_table(found, datetime.now(UTC))
        case _:
            return config_dump.endpoint_table({"cluster_statuses": found})


def split_proxy(proxy: str, namespace: str) -> tuple[str, str]:
    """Name and namespace of `name`, `name.namespace` or `namespace/name`."""
    if "/" in proxy:
        space, _, name = proxy.partition("/")
        return name, space
    name, _, space = proxy.partition(".")
    return name, space or namespace


def envoy_of(proxy: str, namespace: str, stack: int | None) -> EnvoyAdmin:
    """The Envoy of a workload that this machine's stack runs."""
    name, space = split_proxy(proxy, namespace)
    workloads = stack_status(layout_of(stack_from(stack)))["workloads"]
    for workload in workloads:
        if (workload["name"], workload["namespace"]) == (name, space):
            return EnvoyAdmin(workload["envoy_admin"])
    raise MeshError(ErrorCode.NOT_FOUND, f"no workload {name}.{space} runs in this stack")
