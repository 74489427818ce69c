"""A Service by Kubernetes' rules, as far as they matter to a registry."""

from meshcore.labels import label_violations
from meshcore.model.core_v1 import Service, ServicePort

from galley.core.rules.names import check_fqdn, check_ip, is_label
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report

_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_TRANSPORTS = ("TCP", "UDP", "SCTP")


def validate(service: Service, report: Report) -> None:
    """Ports unique and named when there are several, known types, real addresses."""
    spec = service.spec
    if spec.type not in _TYPES:
        report.error("spec.type", f"unsupported value {spec.type!r}", ", ".join(_TYPES))
    if spec.session_affinity not in ("None", "ClientIP"):
        report.error("spec.sessionAffinity", f"unsupported value {spec.session_affinity!r}", "None or ClientIP")
    report.errors.extend(label_violations(spec.selector, "spec.selector"))
    if spec.type == "ExternalName":
        if not spec.external_name:
            report.error("spec.externalName", "required", "a host name")
        else:
            check_fqdn(report, "spec.externalName", spec.external_name)
    elif not spec.ports and spec.cluster_ip != "None":
        report.warn("spec.ports", "a Service without ports cannot be reached")
    if spec.cluster_ip not in ("", "None"):
        check_ip(report, "spec.clusterIP", spec.cluster_ip)
    for index, address in enumerate(spec.external_ips):
        check_ip(report, f"spec.externalIPs[{index}]", address)
    _check_ports(spec.ports, report)


def _check_ports(ports: tuple[ServicePort, ...], report: Report) -> None:
    names: set[str] = set()
    numbers: set[tuple[int, str]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        check_port(report, f"{path}.port", port.port)
        if isinstance(port.target_port, int):
            check_port(report, f"{path}.targetPort", port.target_port)
        if port.protocol not in _TRANSPORTS:
            report.error(f"{path}.protocol", f"unsupported value {port.protocol!r}", ", ".join(_TRANSPORTS))
        if not port.name and len(ports) > 1:
            report.error(f"{path}.name", "required", "a name for every port when there are several")
        elif port.name and not is_label(port.name):
            report.error(f"{path}.name", f"{port.name!r} is not a DNS label")
        if port.name and port.name in names:
            report.error(f"{path}.name", f"{port.name!r} is there twice")
        if (port.port, port.protocol) in numbers:
            report.error(path, f"port {port.port}/{port.protocol} is there twice")
        names.add(port.name)
        numbers.add((port.port, port.protocol))
