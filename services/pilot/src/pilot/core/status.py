"""What debug pages show of streams, in Istio's shapes. Pure."""

from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from meshcore.xds.origin import distinct
from meshcore.xds.types import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    EXTENSION_CONFIG_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SHORT_NAMES,
)

from pilot.core.engine import Engine
from pilot.core.intake import LeftOut
from pilot.core.isolation import Form, HeldBack
from pilot.core.issuer_keys import key_source
from pilot.core.object_status import KEYS, LEFT_OUT
from pilot.core.refusals import EXAMPLES, Refusing, blame_of, refusals
from pilot.core.snapshot import MeshSnapshot
from pilot.core.stream import Stream

FORMS = {
    Form.LAST_GOOD: "the proxy has its last good form",
    Form.SHUT: "the proxy answers 503, or closes connections",
    Form.LEFT_OUT: "the proxy has none of it",
}
"""What a proxy has instead of what it refuses."""
_REFUSED = "its tokens are refused"
_COLUMNS = {
    CLUSTER_TYPE: "cluster",
    LISTENER_TYPE: "listener",
    ROUTE_TYPE: "route",
    ENDPOINT_TYPE: "endpoint",
    EXTENSION_CONFIG_TYPE: "extensionconfig",
}


class Standing(StrEnum):
    """How a proxy stands to what it is to have."""

    SYNCED = "synced"
    PENDING = "pending"
    """Something was sent, or is to be, that it has not answered."""
    REFUSING = "refusing"
    """It refuses something, or is given something else for what it refuses."""


def sync_row(stream: Stream, held_back: tuple[HeldBack, ...] = ()) -> dict[str, Any]:
    """One row of `/debug/syncz`: nonces sent and acknowledged per type, what was refused, and what is held back."""
    row: dict[str, Any] = {
        "cluster_id": stream.proxy.cluster,
        "proxy": stream.proxy.id,
        "proxy_type": stream.proxy.type.value,
        "istio_version": stream.proxy.version,
        "revision": stream.session.settled_revision,
        "synced": _is_synced(stream) and not held_back,
        "resources": {},
    }
    for type_url, channel in stream.session.channels.items():
        if (column := _COLUMNS.get(type_url)) is not None:
            row[f"{column}_sent"] = channel.last_nonce
            row[f"{column}_acked"] = channel.acknowledged_nonce
        rejection, blame = channel.rejection, blame_of(channel)
        held = tuple(one for one in held_back if one.type_url == type_url)
        words = rejection.message if rejection is not None else held[0].words if held else ""
        configs = distinct(
            (*(blame.configs if blame is not None else ()), *(ref for one in held for ref in one.configs))
        )
        row["resources"][SHORT_NAMES.get(type_url, type_url)] = {
            "sent": channel.last_nonce,
            "acked": channel.acknowledged_nonce,
            "pending": channel.flight is not None,
            "held": sum(resource.exists for resource in channel.held.values()),
            "lastError": words,
            "rejected": sorted(channel.rejected_names | {one.resource for one in held}),
            "configs": [str(config) for config in configs],
            "heldBack": [f"{one.part} of {one.resource}: {FORMS[one.form]}" for one in held],
        }
    return row


def sync_rows(engine: Engine) -> list[dict[str, Any]]:
    """All proxies with a config of their own, by name."""
    streams = sorted(engine.streams.values(), key=lambda stream: (stream.proxy.id, stream.number))
    return [sync_row(stream, engine.held_back(stream)) for stream in streams if stream.proxy_class is not None]


def refusal_rows(engine: Engine) -> list[dict[str, Any]]:
    """What proxies of this process refuse, by config object."""
    streams = [
        Refusing(stream.proxy.id, stream.session.channels, engine.held_back(stream))
        for stream in engine.streams.values()
    ]
    return [
        {
            "config": str(one.config),
            "type": one.type,
            "resources": list(one.resources),
            "message": one.message,
            "count": one.count,
            "proxies": list(one.proxies),
        }
        for one in refusals(streams)
    ]


def key_rows(snapshot: MeshSnapshot) -> list[dict[str, Any]]:
    """Keys of JWT issuers that the last try did not bring, by config object; the form of `refusal_rows`."""
    keys = snapshot.keys
    return [
        {
            "config": str(config.ref),
            "type": KEYS,
            "resources": [f"{source.issuer or 'any issuer'} at {source.shown}"],
            "message": f"{keys.faults[source]}; " + ("older ones are used" if source in keys.sets else _REFUSED),
            "count": 0,
            "proxies": [],
        }
        for _, config in sorted(snapshot.configs.get("RequestAuthentication", {}).items())
        for source in dict.fromkeys(map(key_source, config.object.spec.jwt_rules))
        if source is not None and source in keys.faults
    ]


def left_out_rows(snapshot: MeshSnapshot) -> list[dict[str, Any]]:
    """Objects whose newest version Pilot cannot take; the form of `refusal_rows`."""
    return [_left_out_row(one, ()) for _, one in sorted(snapshot.diagnostics.items())]


def lacking_rows(engine: Engine) -> list[dict[str, Any]]:
    """Objects that proxies are not given because compiles fail on them; the form of `refusal_rows`."""
    who: dict[LeftOut, set[str]] = {}
    for stream in engine.streams.values():
        one = stream.of_class
        for problem in engine.configs.lacking.get(one, {}).values() if one is not None else ():
            who.setdefault(problem, set()).add(stream.proxy.id)
    return [_left_out_row(problem, proxies) for problem, proxies in sorted(who.items())]


def _left_out_row(problem: LeftOut, proxies: Collection[str]) -> dict[str, Any]:
    return {
        "config": problem.config,
        "type": LEFT_OUT,
        "resources": [],
        "message": problem.message,
        "count": len(proxies),
        "proxies": sorted(proxies)[:EXAMPLES],
    }


def connection_row(stream: Stream) -> dict[str, Any]:
    """One row of `/debug/adsz`."""
    proxy = stream.proxy
    return {
        "connectionId": stream.connection_id,
        "proxy": proxy.id,
        "connectedAt": _time(stream.since),
        "address": stream.address,
        "agent": proxy.is_agent,
        "labels": dict(proxy.labels),
        "metadata": {key: value for key, value in proxy.metadata.items() if isinstance(value, str)},
        "locality": {
            "region": proxy.locality.region,
            "zone": proxy.locality.zone,
            "subzone": proxy.locality.sub_zone,
        },
        "watches": {
            SHORT_NAMES.get(type_url, type_url): ["*"] if channel.subscription.wildcard else sorted(channel.held)
            for type_url, channel in stream.session.channels.items()
        },
    }


def proxy_row(stream: Stream, held_back: tuple[HeldBack, ...] = ()) -> dict[str, Any]:
    """One item of `/api/v1/proxies`."""
    refused = {type_url for type_url, channel in stream.session.channels.items() if channel.rejection is not None}
    refused |= {one.type_url for one in held_back}
    proxy = stream.proxy
    return {
        "proxy": proxy.id,
        "type": proxy.type.value,
        "namespace": proxy.namespace,
        "service_account": proxy.service_account,
        "version": proxy.version,
        "addresses": list(proxy.instance_ips),
        "connected_at": _time(stream.since),
        "revision": stream.session.settled_revision,
        "synced": _is_synced(stream) and not held_back,
        "rejected": sorted(SHORT_NAMES.get(type_url, type_url) for type_url in refused),
    }


def registry_rows(engine: Engine) -> list[dict[str, Any]]:
    """Services with their endpoints, by host and namespace."""
    registry = engine.snapshot.registry
    return [
        {
            "hostname": key.host,
            "namespace": key.namespace,
            "provider": service.provider,
            "kind": service.kind,
            "addresses": list(service.addresses),
            "resolution": service.resolution.value,
            "ports": [
                {"name": port.name, "port": port.number, "protocol": port.protocol.name} for port in service.ports
            ],
            "endpoints": [
                {
                    "address": endpoint.address,
                    "port": endpoint.port,
                    "port_name": endpoint.port_name,
                    "healthy": endpoint.healthy,
                    "labels": dict(endpoint.labels),
                    "service_account": endpoint.service_account,
                }
                for endpoint in registry.endpoints_of(service)
            ],
        }
        for key, service in sorted(registry.services.items())
    ]


def standing(engine: Engine, stream: Stream) -> Standing | None:
    """How the proxy of a stream stands; None for a stream that no proxy takes its config by."""
    if stream.proxy_class is None:
        return None
    if _refuses(stream) or engine.held_back(stream):
        return Standing.REFUSING
    return Standing.SYNCED if stream.session.settled else Standing.PENDING


def _is_synced(stream: Stream) -> bool:
    """Whether the proxy has what it is to have: everything was answered, and nothing refused."""
    return stream.session.settled and not _refuses(stream)


def _refuses(stream: Stream) -> bool:
    return any(channel.rejection is not None for channel in stream.session.channels.values())


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
