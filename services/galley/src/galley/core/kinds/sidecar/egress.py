"""Which services a workload may call, and through which listeners."""

from meshcore.model.sidecar import CaptureMode, EgressListener

from galley.core.rules.names import check_ip, check_unix_address
from galley.core.rules.ports import check_port, check_port_name, check_protocol
from galley.core.rules.report import Report
from galley.core.rules.scoped_hosts import check_scoped_host

_UNIX = "unix://"


def check_egress(report: Report, listeners: tuple[EgressListener, ...], namespace: str) -> None:
    """Every listener; one without a port takes what the others leave, so it is alone and the last."""
    ports: set[int] = set()
    sockets: set[str] = set()
    without_port = [index for index, listener in enumerate(listeners) if listener.port is None]
    for index in without_port[1:]:
        report.error(f"spec.egress[{index}].port", "a second listener without a port", "one of them")
    if without_port and without_port[0] != len(listeners) - 1:
        report.error(f"spec.egress[{without_port[0]}]", "the listener without a port is not the last one", "the last")
    for index, listener in enumerate(listeners):
        path = f"spec.egress[{index}]"
        _check_port(report, path, listener, ports, sockets)
        _check_hosts(report, path, listener, namespace)


def _check_port(report: Report, path: str, listener: EgressListener, ports: set[int], sockets: set[str]) -> None:
    port = listener.port
    if port is None:
        return
    if port.target_port:
        report.error(f"{path}.port.targetPort", "not supported here", "no targetPort")
    if port.name:
        check_port_name(report, f"{path}.port.name", port.name)
    check_protocol(report, f"{path}.port.protocol", port.protocol)
    if port.number == 0:
        if not listener.bind.startswith(_UNIX):
            report.error(f"{path}.port.number", "port 0 is for sockets", "a port's number, or bind: unix:///path")
        else:
            check_unix_address(report, f"{path}.bind", listener.bind)
        if listener.capture_mode not in (CaptureMode.DEFAULT, CaptureMode.NONE):
            report.error(f"{path}.captureMode", "a socket cannot be captured", "DEFAULT or NONE")
        if listener.bind in sockets:
            report.error(f"{path}.bind", f"{listener.bind!r} is there twice")
        sockets.add(listener.bind)
        return
    check_port(report, f"{path}.port.number", port.number)
    if listener.bind:
        check_ip(report, f"{path}.bind", listener.bind)
    if port.number in ports:
        report.error(f"{path}.port.number", f"{port.number} is there twice")
    ports.add(port.number)


def _check_hosts(report: Report, path: str, listener: EgressListener, namespace: str) -> None:
    """Each is in one scope only: what a scope has already, or has whole, is warned of."""
    if not listener.hosts:
        report.error(f"{path}.hosts", "required", "NAMESPACE/HOST")
    seen: dict[str, set[str]] = {}
    for index, host in enumerate(listener.hosts):
        where = f"{path}.hosts[{index}]"
        if not check_scoped_host(report, where, host, at_gateway=False) or host.startswith("~"):
            continue
        place, _, name = host.partition("/")
        names = seen.setdefault(namespace if place == "." else place, set())
        if names & {name, "*"} or (name == "*" and names):
            report.warn(where, f"{host!r} and another host of the scope cover each other")
        names.add(name)
    if "*" in seen.get("*", ()) and len(seen) > 1:
        report.warn(f"{path}.hosts", "*/* covers every other namespace")
