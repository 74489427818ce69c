"""What rules alone cannot do: routes of marked packets to this machine, and the proxy's IPv6 source address."""

from collections.abc import Iterator

from meshcore.errors import MeshError

from envoy_bootstrap.adapters.capture.xtables import run
from envoy_bootstrap.core.capture.config import CaptureConfig

_GONE = ("No such", "Cannot assign", "does not exist", "address not found")


def route_commands(config: CaptureConfig) -> Iterator[tuple[str, ...]]:
    """The `ip` commands that bring it about where nothing is yet."""
    if 6 in config.families:
        # 127.0.0.6 is on the loopback interface as it is, ::6 is not
        yield ("ip", "-6", "address", "replace", "::6/128", "dev", "lo")
    if config.needs_routes:
        for version in config.families:
            everywhere = "0.0.0.0/0" if version == 4 else "::/0"
            route = ("route", "replace", "local", everywhere, "dev", "lo", "table", config.tproxy_table)
            yield "ip", f"-{version}", *route
            yield "ip", f"-{version}", "rule", "add", "fwmark", config.tproxy_mark, "lookup", config.tproxy_table


def add_routes(config: CaptureConfig) -> None:
    """Bring it about, and change nothing that is there."""
    for command in route_commands(config):
        # the kernel takes the same rule as often as it is given
        if "rule" not in command or not _has_rule(config, command[1]):
            run(command)


def remove_routes(config: CaptureConfig) -> None:
    """Undo it; what is not there needs no undoing."""
    for command in route_commands(config):
        undo = tuple("delete" if word in ("add", "replace") else word for word in command)
        if "rule" in command:
            while _has_rule(config, command[1]):
                run(undo)
            continue
        try:
            run(undo)
        except MeshError as error:
            if not any(reason in error.detail for reason in _GONE):
                raise


def _has_rule(config: CaptureConfig, family: str) -> bool:
    words = f"fwmark {int(config.tproxy_mark):#x} lookup {config.tproxy_table}".split()
    lines = run(("ip", "-N", family, "rule", "show")).splitlines()
    return any(line.split()[-len(words) :] == words for line in lines)
