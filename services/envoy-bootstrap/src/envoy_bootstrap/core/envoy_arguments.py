"""Envoy's command line, and how it is told to drain. Pure."""

from datetime import timedelta


def envoy_arguments(
    bootstrap: str,
    *,
    drain: timedelta,
    concurrency: int,
    log_level: str,
    component_log_level: str = "",
    ipv6: bool = False,
    override: str = "",
) -> list[str]:
    """The arguments after the program's name; `concurrency` 0 leaves it to Envoy: a worker thread for each core.

    Envoy merges `override` into the bootstrap.

    Hot restart is off: two Envoys of one workload overlap by SO_REUSEPORT instead, and nothing in shared memory can be
    left in a state that blocks the next start.
    """
    arguments = [
        "-c",
        bootstrap,
        "--drain-time-s",
        str(max(1, round(drain.total_seconds()))),
        "--drain-strategy",
        "immediate",
        "--local-address-ip-version",
        "v6" if ipv6 else "v4",
        "--file-flush-interval-msec",
        "1000",
        "--disable-hot-restart",
        "--allow-unknown-static-fields",
        "--skip-deprecated-logs",
        "-l",
        log_level,
    ]
    arguments += _merged(override)
    if concurrency:
        arguments += ["--concurrency", str(concurrency)]
    if component_log_level:
        arguments += ["--component-log-level", component_log_level]
    return arguments


def validate_arguments(bootstrap: str, override: str = "") -> list[str]:
    """Check a bootstrap and end: an Envoy that fails late has already taken its sockets."""
    return [
        "--mode", "validate", "-c", bootstrap, "-l", "error", "--allow-unknown-static-fields", "--skip-deprecated-logs",
        *_merged(override),
    ]  # fmt: skip


def drain_request(*, inbound_only: bool, stays: bool = False) -> str:
    """The target of the admin interface. One that `stays` keeps its listeners after the drain."""
    words = [*(["inboundonly"] if inbound_only else []), "graceful", *(["skip_exit"] if stays else [])]
    return f"/drain_listeners?{'&'.join(words)}"


def _merged(override: str) -> list[str]:
    return ["--config-yaml", override] if override else []
