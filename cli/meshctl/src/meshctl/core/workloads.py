"""The workloads that a stack runs on this machine, read from a workloads file (TOML). Pure.

    config = ["mesh.yaml"]            # applied before the workloads start, relative to the file

    [[workload]]
    name = "reviews-v1"               # unique in the file
    type = "sidecar"                  # or "router": a gateway, which listens where its Gateway objects say; or "grpc":
                                      # the agent without an Envoy, for an application whose gRPC library knows xDS
    namespace = "default"
    service_account = "reviews"
    group = "reviews-v1"              # the WorkloadGroup that the sidecar registers in; absent: not registered
    labels = { app = "reviews" }
    ports = [9080]                    # where the application listens, on its own address
    command = ["{python}", "app.py", "--host", "{host}"]   # absent: a sidecar without an application
    env = { GREETING = "hello" }      # of the application
    proxy_env = { SECRET_TTL = "1h" } # of the sidecar's agent

`{python}`, `{host}`, `{proxy}` (host:port of the mesh HTTP proxy) and `{dir}` (folder of the file) are filled in. The
application of a `grpc` workload finds its library's bootstrap by GRPC_XDS_BOOTSTRAP, once there is a certificate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation

SIDECAR, ROUTER, GRPC = "sidecar", "router", "grpc"


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload of the file."""

    name: str
    namespace: str = "default"
    service_account: str = "default"
    group: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    proxy_env: Mapping[str, str] = field(default_factory=dict)
    type: str = SIDECAR


@dataclass(frozen=True, slots=True)
class WorkloadsFile:
    """A whole workloads file: `directory` is where it lies, `config` the absolute paths of its config."""

    directory: str
    config: tuple[str, ...]
    workloads: tuple[Workload, ...]


_LISTS = {"ports": int, "command": str}
_MAPS = ("labels", "env", "proxy_env")
_TEXTS = ("name", "namespace", "service_account", "group", "type")


def parse_workloads(document: Mapping[str, Any], directory: str, source: str) -> WorkloadsFile:
    """Raises MeshError(INVALID) with every violation of the file `source` at once."""
    violations: list[Violation] = []
    violations += [Violation(key, "unknown key", file=source) for key in document if key not in ("config", "workload")]
    workloads: list[Workload] = []
    for index, entry in enumerate(document.get("workload", ())):
        found = list(_violations(entry, f"workload[{index}]", source))
        violations += found
        if not found:
            workloads.append(workload_from(entry))
    names = [workload.name for workload in workloads]
    violations += [
        Violation("workload", f"name {name!r} is used twice", file=source)
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if violations:
        raise MeshError(ErrorCode.INVALID, f"{source} is not a valid workloads file", violations)
    config = tuple(path if path.startswith("/") else f"{directory}/{path}" for path in document.get("config", ()))
    return WorkloadsFile(directory, config, tuple(workloads))


def workload_from(entry: Mapping[str, Any]) -> Workload:
    """A workload of one already checked entry."""
    return Workload(
        name=entry["name"],
        namespace=entry.get("namespace", "default"),
        service_account=entry.get("service_account", "default"),
        group=entry.get("group", ""),
        labels=dict(entry.get("labels", {})),
        ports=tuple(entry.get("ports", ())),
        command=tuple(entry.get("command", ())),
        env=dict(entry.get("env", {})),
        proxy_env=dict(entry.get("proxy_env", {})),
        type=entry.get("type", SIDECAR),
    )


def workload_entry(workload: Workload) -> dict[str, Any]:
    """The entry that `workload_from` reads back."""
    lists = {key: list(getattr(workload, key)) for key in _LISTS}
    maps = {key: dict(getattr(workload, key)) for key in _MAPS}
    return {key: getattr(workload, key) for key in _TEXTS} | lists | maps


def _violations(entry: Mapping[str, Any], at: str, source: str) -> list[Violation]:
    found = []
    for key, value in entry.items():
        if key in _TEXTS:
            right = isinstance(value, str)
        elif key in _LISTS:
            right = isinstance(value, list) and all(isinstance(item, _LISTS[key]) for item in value)
        elif key in _MAPS:
            right = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        else:
            found.append(Violation(f"{at}.{key}", "unknown key", file=source))
            continue
        if not right:
            expected = "text" if key in _TEXTS else "a list" if key in _LISTS else "a table of text"
            found.append(Violation(f"{at}.{key}", "has the wrong type", expected=expected, file=source))
    if entry.get("type", SIDECAR) not in (SIDECAR, ROUTER, GRPC):
        found.append(
            Violation(f"{at}.type", "is no type of proxy", expected=f"{SIDECAR}, {ROUTER} or {GRPC}", file=source)
        )
    elif entry.get("type") == ROUTER and entry.get("command"):
        found.append(Violation(f"{at}.command", "a gateway has no application", file=source))
    if not entry.get("name"):
        found.append(Violation(f"{at}.name", "is missing", file=source))
    return found


def filled(texts: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """`{key}` of each text replaced by its value; other braces stay."""
    result = []
    for text in texts:
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        result.append(text)
    return tuple(result)
