"""Pilot's metrics, under the names of Istio's dashboards (`pilot_*`)."""

import os
from collections.abc import Iterable
from functools import cache
from typing import Any

from meshcore import metrics
from meshcore.xds.types import SHORT_NAMES
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

_PUSH_BUCKETS = (0.01, 0.05, 0.1, 0.3, 0.5, 1, 3, 5, 10, 20, 30)

PUSHES = metrics.counter("pilot_xds_pushes", "Messages sent, by type.", ["type"])
CONNECTED = metrics.gauge("pilot_xds", "Connected clients, by the version they say they are.", ["version"])
REJECTS = metrics.counter("pilot_total_xds_rejects", "Messages that clients refused, by type.", ["type"])
REJECTED = {
    short: metrics.counter(f"pilot_xds_{short}_reject", f"Refused {short} messages, by code.", ["err"])
    for short in ("cds", "eds", "lds", "rds")
}
EXPIRED_NONCES = metrics.counter("pilot_xds_expired_nonce", "Answers to nonces that were not waiting.", ["type"])
INTERNAL_ERRORS = metrics.counter("pilot_total_xds_internal_errors", "Streams that ended by an error of Pilot's.")
SEND_TIME = metrics.histogram("pilot_xds_send_time", "Seconds to write a message.", buckets=_PUSH_BUCKETS)
ACK_TIME = metrics.histogram("pilot_xds_ack_time", "Seconds from a message to its ACK.", buckets=_PUSH_BUCKETS)
PUSH_TIME = metrics.histogram("pilot_xds_push_time", "Seconds to compile a target.", ["type"], buckets=_PUSH_BUCKETS)
COMPILE_TIME = PUSH_TIME.labels("all")
QUEUE_TIME = metrics.histogram("pilot_proxy_queue_time", "Seconds from a change to its push.", buckets=_PUSH_BUCKETS)
CONVERGENCE_TIME = metrics.histogram(
    "pilot_proxy_convergence_time", "Seconds from a change to the client's last ACK of it.", buckets=_PUSH_BUCKETS
)
CONFIG_SIZE = metrics.histogram(
    "pilot_xds_config_size_bytes",
    "Bytes of the messages sent, by type.",
    ["type"],
    buckets=(1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000),
)
DEBOUNCE_TIME = metrics.histogram("pilot_debounce_time", "Seconds that changes were held.", buckets=_PUSH_BUCKETS)
TRIGGERS = metrics.counter("pilot_push_triggers", "Reasons of pushes.", ["type"])
INBOUND = metrics.counter("pilot_inbound_updates", "Events received, by kind.", ["type"])
SERVICES = metrics.gauge("pilot_services", "Services known.")
VIRTUAL_SERVICES = metrics.gauge("pilot_virt_services", "VirtualServices known.")
DUPLICATE_DOMAINS = metrics.gauge(
    "pilot_vservice_dup_domain", "VirtualServices that have no say over one of their hosts in some connected sidecar."
)
REJECTED_CONFIGS = metrics.counter(
    "pilot_total_rejected_configs", "Parts of Gateways that were left out, by Gateway, each once.", ["type", "name"]
)
LEFT_OUT = metrics.counter(
    "pilot_left_out_objects", "Versions of config objects that were left out whole, by kind and code.", ["kind", "code"]
)
SECRET_UPDATES = metrics.counter("pilot_secret_updates", "What Galley told of Secrets.", ["state"])
SECRET_PROBLEMS = metrics.gauge("pilot_secret_problems", "Secrets that config refers to and that cannot be served.")
KEYS_FETCHED = metrics.counter("pilot_jwks_resolver_network_fetch_success", "Key sets of issuers that were fetched.")
KEYS_NOT_FETCHED = metrics.counter("pilot_jwks_resolver_network_fetch_fail", "Fetches of key sets that failed.")
FRAMES_BUILT = metrics.counter("pilot_xds_frames_built", "Messages assembled.")
FRAMES_SHARED = metrics.counter("pilot_xds_frames_shared", "Messages sent without assembling them.")
COMPILES = metrics.counter("pilot_compiles", "Compiles of a class of proxies.")
MEMO_HITS = metrics.counter("pilot_compile_memo_hits", "Parts of configurations that had been compiled before.")
MEMO_MISSES = metrics.counter("pilot_compile_memo_misses", "Parts of configurations that were compiled.")
REFRESHES = metrics.counter("pilot_endpoint_refreshes", "Classes given other endpoints without a compile.")
ADMISSION_BACKLOG = metrics.gauge("pilot_admission_backlog", "New streams that wait to be read.")
ADMISSION_LIMIT = metrics.gauge("pilot_admission_limit", "New streams that are served their first config at once.")
SLOW_STARTS = metrics.counter("pilot_xds_slow_starts", "Streams ended because their first config took too long.")
REFUSED_STREAMS = metrics.counter("pilot_xds_refused_streams", "Streams refused, by reason.", ["reason"])
REGISTERED = metrics.gauge("pilot_registered_workloads", "Workloads that are registered.")
REGISTRATIONS = metrics.counter("auto_registration_success_total", "Registrations.")
UNREGISTRATIONS = metrics.counter("auto_registration_unregister_total", "Orderly de-registrations.")
REGISTRATION_ERRORS = metrics.counter("auto_registration_errors_total", "Registrations that failed.")
EXPIRED_REGISTRATIONS = metrics.counter("auto_registration_deletes_total", "Registrations that expired.")
STATUS_LOOKS = metrics.counter("pilot_status_looks", "Looks at what proxies refuse, by the holder of the lease.")
ENTRY_WRITES = metrics.counter("pilot_workload_entry_writes", "WorkloadEntries of registrations, by answer.", ["code"])
ADDRESS_WRITES = metrics.counter("pilot_address_writes", "Addresses told in statuses of objects, by answer.", ["code"])
STATUS_WRITES = metrics.counter("pilot_status_writes", "Refusals told in statuses of objects, by answer.", ["code"])
KEPT_REGISTRATIONS = metrics.gauge("pilot_registrations_kept", "Expired registrations kept because too many went.")


ADDED_UP = frozenset({"pilot_xds", "pilot_admission_backlog", "pilot_admission_limit"})
"""Gauges of a process's own streams. What the others tell, every worker of a Pilot knows alike."""


def type_label(type_url: str) -> str:
    """The short name of a type; unknown ones share one label value, since clients choose them."""
    return SHORT_NAMES.get(type_url, "other")


@cache
def sending(label: str) -> tuple[Any, Any]:
    """`PUSHES` and `CONFIG_SIZE` of a type: to find them by their label costs more than to count."""
    return PUSHES.labels(label), CONFIG_SIZE.labels(label)


@cache
def trigger(reason: str) -> Any:
    """`TRIGGERS` of one of the engine's reasons."""
    return TRIGGERS.labels(reason)


def process_document() -> dict[str, Any]:
    """Every metric of this module and what this process takes of the machine, for its parent."""
    return {"pid": os.getpid(), "families": documents(_own()), "process": documents([metrics.PROCESS])}


def documents(collectors: Iterable[Collector]) -> list[dict[str, Any]]:
    """Families with their samples, as JSON can carry them."""
    return [
        {
            "name": family.name,
            "help": family.documentation,
            "type": family.type,
            "samples": [[one.name, dict(one.labels), one.value] for one in family.samples],
        }
        for collector in collectors
        for family in collector.collect()
    ]


def withdraw() -> None:
    """Take this process's metrics off its page: it serves no stream, its workers do, and show what they take beside
    what it takes."""
    for metric in (*_own(), metrics.PROCESS):
        metrics.REGISTRY.unregister(metric)


def _own() -> list[Any]:
    made = (one for one in globals().values() if isinstance(one, MetricWrapperBase) and one is not COMPILE_TIME)
    return [*made, *REJECTED.values()]
