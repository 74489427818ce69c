"""Names and ports of a Pod's containers."""

from meshcore.model.cluster import Container, Pod

from galley.core.rules.names import is_label
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report


def validate(pod: Pod, report: Report) -> None:
    """Names are DNS labels and unique in the whole Pod, ports exist."""
    seen: set[str] = set()
    for field, containers in (("initContainers", pod.spec.init_containers), ("containers", pod.spec.containers)):
        for index, container in enumerate(containers):
            _check_container(report, f"spec.{field}[{index}]", container, seen)


def _check_container(report: Report, path: str, container: Container, seen: set[str]) -> None:
    if not is_label(container.name):
        report.error(f"{path}.name", f"{container.name!r} is not a DNS label")
    if container.name in seen:
        report.error(f"{path}.name", f"{container.name!r} is there twice", "a name once")
    seen.add(container.name)
    for index, port in enumerate(container.ports):
        check_port(report, f"{path}.ports[{index}].containerPort", port.container_port)
