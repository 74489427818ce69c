"""Listeners that do not contradict themselves or one another, and addresses."""

from meshcore.model.gateway_api.gateways import KubernetesGateway, Listener, ListenerSet, ListenerTlsMode

from galley.core.rules.names import domain_fault, is_ip
from galley.core.rules.report import Report

_WITHOUT_TLS = ("HTTP", "TCP", "UDP")
_WITHOUT_HOST = ("TCP", "UDP")


def check_gateway(gateway: KubernetesGateway, report: Report) -> None:
    """Listeners, addresses, and TLS by port."""
    spec = gateway.spec
    _check_listeners(report, spec.listeners)
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(spec.addresses):
        where = f"spec.addresses[{index}].value"
        if address.value and address.type == "IPAddress" and not is_ip(address.value):
            report.error(where, f"{address.value!r} is not an IP address", "an IPv4 or IPv6 address")
        if address.value and address.type == "Hostname" and (fault := domain_fault(address.value, wildcard=True)):
            report.error(where, fault, "a host name")
        if address.value and (address.type, address.value) in seen:
            report.error(where, f"{address.value!r} is there twice", "an address once")
        seen.add((address.type, address.value))
    ports = [item.port for item in spec.tls.frontend.per_port] if spec.tls and spec.tls.frontend else []
    if len(set(ports)) < len(ports):
        report.error("spec.tls.frontend.perPort", "a port is there twice", "a port once")


def check_listener_set(listener_set: ListenerSet, report: Report) -> None:
    """Listeners."""
    _check_listeners(report, listener_set.spec.listeners)


def _check_listeners(report: Report, listeners: tuple[Listener, ...]) -> None:
    names: set[str] = set()
    places: set[tuple[int, str, str | None]] = set()
    for index, listener in enumerate(listeners):
        path = f"spec.listeners[{index}]"
        if listener.name in names:
            report.error(f"{path}.name", f"{listener.name!r} is there twice", "a name once")
        place = (listener.port, listener.protocol, listener.hostname)
        if place in places:
            report.error(path, "port, protocol and hostname are those of another listener", "a difference")
        names.add(listener.name)
        places.add(place)
        _check_tls(report, path, listener)
        if listener.protocol in _WITHOUT_HOST and listener.hostname is not None:
            report.error(f"{path}.hostname", f"set for protocol {listener.protocol}", "no hostname")


def _check_tls(report: Report, path: str, listener: Listener) -> None:
    tls = listener.tls
    if listener.protocol in _WITHOUT_TLS and tls is not None:
        report.error(f"{path}.tls", f"set for protocol {listener.protocol}", "no tls, or protocol HTTPS or TLS")
    if listener.protocol == "TLS" and (tls is None or tls.mode is None):
        report.error(f"{path}.tls.mode", "required for protocol TLS", "Terminate or Passthrough")
    if tls is None:
        return
    if listener.protocol == "HTTPS" and tls.mode is ListenerTlsMode.PASSTHROUGH:
        report.error(f"{path}.tls.mode", "unsupported for protocol HTTPS", "Terminate")
    if tls.mode is not ListenerTlsMode.PASSTHROUGH and not tls.certificate_refs and not tls.options:
        report.error(f"{path}.tls", "neither certificateRefs nor options", "a certificate, or mode Passthrough")
