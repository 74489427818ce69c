"""Is Envoy ready for traffic? Read from its statistics. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

CONFIG_STATS = r"^(cluster_manager\.cds|listener_manager\.lds)\.(update_success|update_rejected)$"
STATE_STATS = r"^(server\.state|listener_manager\.workers_started)$"
RECEIVED_STATS = r"^cluster\.xds-grpc;?\.upstream_cx_rx_bytes_total$"

_LIVE = 0


@dataclass(frozen=True, slots=True)
class EnvoyReadiness:
    """`reason` says what is missing, in Istio's words where there are some."""

    ready: bool
    reason: str = ""


def parse_stats(text: str) -> dict[str, int]:
    """`name: number` lines of /stats; histograms and texts are left out."""
    stats = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(": ")
        if name and value.isdigit():
            stats[name] = int(value)
    return stats


def config_received(stats: Mapping[str, int]) -> EnvoyReadiness:
    """Has Pilot (or the last good configuration) been heard and accepted, clusters and listeners both?

    A rejected update counts once one was accepted; before that the proxy would be ready without its configuration.
    """
    accepted = {kind: stats.get(f"{name}.update_success", 0) for kind, name in _MANAGERS.items()}
    rejected = {kind: stats.get(f"{name}.update_rejected", 0) for kind, name in _MANAGERS.items()}
    missing = [kind for kind, count in accepted.items() if count == 0]
    if not missing:
        return EnvoyReadiness(True)
    counts = ", ".join(f"{kind} updates: {accepted[kind]} successful, {rejected[kind]} rejected" for kind in _MANAGERS)
    return EnvoyReadiness(False, f"config received from Pilot is not complete: {counts}")


def server_state(stats: Mapping[str, int]) -> EnvoyReadiness:
    """Is the server LIVE with its workers started?"""
    state = stats.get("server.state")
    if state != _LIVE:
        return EnvoyReadiness(
            False, f"server is not live, current state is {_STATES.get(-1 if state is None else state, 'unknown')}"
        )
    if stats.get("listener_manager.workers_started") != 1:
        return EnvoyReadiness(False, "workers have not yet started")
    return EnvoyReadiness(True)


_MANAGERS = {"cds": "cluster_manager.cds", "lds": "listener_manager.lds"}
_STATES = {0: "LIVE", 1: "DRAINING", 2: "PRE_INITIALIZING", 3: "INITIALIZING"}
