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
from meshctl.commands.options import (
    NamespaceOption,
    Output,
    OutputOption,
    StackOption,
    complain,
    failing_clearly,
    print_document,
    print_table,
)
from meshctl.core import config_dump
from meshctl.core.proxy_status import proxy_status_table, refusals, sync_table
from meshctl.core.topology import ADMIN_PORT

ProxyArgument = Annotated[str, typer.Argument(help="NAME, NAME.NAMESPACE or NAMESPACE/NAME of a workload.")]


class Part(StrEnum):
    """What of a proxy's config to show."""

    CLUSTERS = "clusters"
    LISTENERS = "listeners"
    ROUTES = "routes"
    ENDPOINTS = "endpoints"
    SECRET = "secret"
    BOOTSTRAP = "bootstrap"
    ALL = "all"


ALIASES = {
    "cluster": Part.CLUSTERS,
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
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Show which proxies are connected, and what each was sent and has acknowledged."""
    with running_pilot(stack) as pilot:
        rows = pilot.sync_status()
    if proxy is not None:
        name, space = split_proxy(proxy, namespace)
        rows = [row for row in rows if row["proxy"] == f"{name}.{space}"]
        if not rows:
            raise MeshError(ErrorCode.NOT_FOUND, f"no proxy {name}.{space} is connected")
    if output is Output.TABLE:
        print_table(sync_table(rows) if verbosity else proxy_status_table(rows))
        complain(*refusals(rows))
    else:
        print_document(rows, output)


@failing_clearly
def proxy_config(
    part: Annotated[str, typer.Argument(help=f"{', '.join(Part)}")],
    proxy: ProxyArgument,
    namespace: NamespaceOption = "default",
    output: OutputOption = Output.TABLE,
    stack: StackOption = None,
) -> None:
    """Show what the Envoy of a workload runs."""
    chosen = ALIASES.get(part) or (Part(part) if part in set(Part) else None)
    if chosen is None:
        raise MeshError(ErrorCode.INVALID, f"there is no part {part!r}: {', '.join(Part)}")
    admin = envoy_of(proxy, namespace, stack)
    dump = admin.config_dump()
    if chosen is Part.ENDPOINTS:
        hosts = admin.get("/clusters?format=json")
        if output is Output.TABLE:
            print_table(config_dump.endpoint_table(hosts))
        else:
            print_document(hosts.get("cluster_statuses", []), output)
        return
    if output is not Output.TABLE or chosen is Part.BOOTSTRAP:
        print_document(_resources(chosen, dump), Output.JSON if output is Output.TABLE else output)
        return
    tables: dict[Part, Callable[[], config_dump.Table]] = {
        Part.CLUSTERS: lambda: config_dump.cluster_table(dump),
        Part.LISTENERS: lambda: config_dump.listener_table(dump),
        Part.ROUTES: lambda: config_dump.route_table(dump),
        Part.SECRET: lambda: config_dump.secret_table(dump, datetime.now(UTC)),
    }
    for name in tables if chosen is Part.ALL else [chosen]:
        print_table(tables[name]())
        if chosen is Part.ALL:
            print()
    if chosen is Part.ALL:
        print_table(config_dump.endpoint_table(admin.get("/clusters?format=json")))


def _resources(part: Part, dump: Any) -> Any:
    readers: dict[Part, Callable[[Any], Any]] = {
        Part.CLUSTERS: config_dump.clusters,
        Part.LISTENERS: config_dump.listeners,
        Part.ROUTES: config_dump.routes,
        Part.SECRET: config_dump.secrets,
        Part.BOOTSTRAP: config_dump.bootstrap,
        Part.ALL: lambda whole: whole,
    }
    return readers[part](dump)


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
