"""Template and probe of a WorkloadGroup. The template needs no address: the workload brings it."""

import re

from meshcore.model.workload import ReadinessProbe, WorkloadGroup

from galley.core.rules.label_maps import check_labels
from galley.core.rules.names import check_unix_address
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report
from galley.core.rules.workload import UNIX, check_workload_template

_HEADER = re.compile(r"[-A-Za-z0-9]+")


def validate(group: WorkloadGroup, report: Report) -> None:
    """Labels, template, probe."""
    if group.spec.metadata is not None:
        check_labels(report, "spec.metadata.labels", group.spec.metadata.labels)
    template = group.spec.template
    check_workload_template(report, "spec.template", template)
    if template.address.startswith(UNIX):
        check_unix_address(report, "spec.template.address", template.address)
        if template.ports:
            report.error("spec.template.ports", "a socket has no ports", "no ports")
    if group.spec.probe is not None:
        _check_probe(group.spec.probe, report)


def _check_probe(probe: ReadinessProbe, report: Report) -> None:
    path = "spec.probe"
    if probe.http_get is not None:
        check_port(report, f"{path}.httpGet.port", probe.http_get.port)
        if probe.http_get.scheme not in ("", "HTTP", "HTTPS"):
            report.error(f"{path}.httpGet.scheme", f"unsupported value {probe.http_get.scheme!r}", "HTTP or HTTPS")
        for index, header in enumerate(probe.http_get.http_headers):
            if not _HEADER.fullmatch(header.name):
                report.error(f"{path}.httpGet.httpHeaders[{index}].name", f"{header.name!r} is not a header's name")
    elif probe.tcp_socket is not None:
        check_port(report, f"{path}.tcpSocket.port", probe.tcp_socket.port)
    elif probe.exec is not None:
        if not probe.exec.command:
            report.error(f"{path}.exec.command", "required", "a command")
    else:
        report.error(path, "unknown health check method", "httpGet, tcpSocket or exec")
