"""Keys of any ConfigMap, and the mesh config where this is the one that carries it."""

import base64
import binascii
import re

from meshcore.errors import MeshError
from meshcore.model.core_v1 import ConfigMap
from meshcore.model.mesh_config import CONFIG_MAP_NAME, MESH_KEY, NETWORKS_KEY, ROOT_NAMESPACE, read_mesh_config
from meshcore.model.mesh_networks import parse_mesh_networks

from galley.core.rules.mesh_config import check_mesh_config
from galley.core.rules.mesh_networks import check_mesh_networks
from galley.core.rules.report import Report

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MEBIBYTE = 1024 * 1024


def validate(config_map: ConfigMap, report: Report) -> None:
    """Errors in keys and sizes; for the mesh's own ConfigMap errors of the mesh config under `data.mesh`."""
    _check_content(config_map, report)
    if config_map.namespaced_name == (ROOT_NAMESPACE, CONFIG_MAP_NAME):
        if MESH_KEY in config_map.data:
            _check_mesh(config_map.data[MESH_KEY], report)
        if NETWORKS_KEY in config_map.data:
            _check_networks(config_map.data[NETWORKS_KEY], report)


def _check_content(config_map: ConfigMap, report: Report) -> None:
    for field, data in (("data", config_map.data), ("binaryData", config_map.binary_data)):
        for key in data:
            if not _KEY.fullmatch(key) or key in (".", ".."):
                report.error(f"{field}[{key}]", f"{key!r} is not a key", "at most 253 of a-z, A-Z, 0-9, '-', '_', '.'")
    for key in config_map.data.keys() & config_map.binary_data.keys():
        report.error(f"data[{key}]", "the key is in data and in binaryData", "a key once")
    for key, text in config_map.binary_data.items():
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            report.error(f"binaryData[{key}]", "not base64")
    if sum(len(text) for text in (*config_map.data.values(), *config_map.binary_data.values())) > _MEBIBYTE:
        report.error("data", "more than 1 MiB", "at most 1048576 bytes")


def _check_mesh(text: str, report: Report) -> None:
    path = f"data.{MESH_KEY}"
    try:
        mesh, unknown = read_mesh_config(text)
    except MeshError as error:
        _take_over(report, path, error)
        return
    _warn_of_unknown(report, path, unknown)
    check_mesh_config(report, f"{path}: ", mesh)


def _check_networks(text: str, report: Report) -> None:
    path = f"data.{NETWORKS_KEY}"
    try:
        networks, unknown = parse_mesh_networks(text)
    except MeshError as error:
        _take_over(report, path, error)
        return
    _warn_of_unknown(report, path, unknown)
    check_mesh_networks(report, f"{path}: ", networks)


def _take_over(report: Report, path: str, error: MeshError) -> None:
    for violation in error.violations:
        where = f"{path}: {violation.field}" if violation.field else path
        report.error(where, violation.message, violation.expected)
    if not error.violations:
        report.error(path, error.detail)


def _warn_of_unknown(report: Report, path: str, unknown: tuple[str, ...]) -> None:
    for name in unknown:
        report.warn(f"{path}: {name}", "this field is not known and not read")
