"""The NATS server's configuration: one user per service, each with the least subjects that it needs. Pure.

Only Galley writes config. Pilots write registrations and ask each other. Citadel and the injector read config. What a
user may subscribe to includes its own inbox only, so nobody reads the answers to another.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from meshcore.bus.subjects import (
    Permissions,
    bucket_permissions,
    feed_permissions,
    galley_permissions,
    inbox_prefix,
)

ENDPOINTS_BUCKET = "mesh-endpoints"
PILOT_QUERIES = "pilot.query.>"
LARGEST_PAYLOAD = "1MB"


@dataclass(frozen=True, slots=True)
class NatsServer:
    """Where the server listens and what it keeps where; paths are as the server sees them."""

    host: str
    monitor_host: str
    store_dir: str
    certificate: str | None = None
    key: str | None = None
    root: str | None = None
    port: int = 4222
    monitor_port: int = 8222


def permissions_of(service: str) -> Permissions:
    """What a service may publish or request, and what it may subscribe to."""
    if service == "galley":
        return galley_permissions(service)
    if service == "pilot":
        queries = Permissions((PILOT_QUERIES, f"{inbox_prefix(service)}.>"), (PILOT_QUERIES,))
        return feed_permissions(service) | bucket_permissions(service, ENDPOINTS_BUCKET) | queries
    return feed_permissions(service)


def render_nats_config(server: NatsServer, passwords: Mapping[str, str]) -> str:
    """The text of nats.conf, the same for the same input; it holds passwords, so the file is 0600."""
    lines = [
        "# Written by `python -m citadel init`; changes are overwritten.",
        f"server_name: {_quoted('mesh-nats')}",
        f"listen: {_quoted(f'{server.host}:{server.port}')}",
        f"http: {_quoted(f'{server.monitor_host}:{server.monitor_port}')}",
        f"max_payload: {LARGEST_PAYLOAD}",
        "jetstream {",
        f"  store_dir: {_quoted(server.store_dir)}",
        "  # Config is safe in Galley's SQL; this only spares a re-publish after a power failure.",
        "  sync_interval: always",
        "}",
    ]
    if server.certificate is not None:
        lines += [
            "tls {",
            f"  cert_file: {_quoted(server.certificate)}",
            f"  key_file: {_quoted(server.key or '')}",
            f"  ca_file: {_quoted(server.root or '')}",
            '  min_version: "1.2"',
            "  timeout: 5",
            "}",
        ]
    lines += ["authorization {", "  timeout: 5", "  users: ["]
    for service in sorted(passwords):
        allowed = permissions_of(service)
        lines += [
            "    {",
            f"      user: {_quoted(service)}, password: {_quoted(passwords[service])}",
            "      permissions {",
            f"        publish: {{ allow: {_list(allowed.publish)} }}",
            f"        subscribe: {{ allow: {_list(allowed.subscribe)} }}",
            "      }",
            "    }",
        ]
    return "\n".join([*lines, "  ]", "}", ""])


def _quoted(text: str) -> str:
    return json.dumps(text)


def _list(subjects: tuple[str, ...]) -> str:
    return "[" + ", ".join(_quoted(subject) for subject in subjects) + "]"
