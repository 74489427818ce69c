"""The files with which a workload outside of the cluster joins the mesh, as `meshctl workload entry configure` and
`istioctl x workload entry configure` write them: `cluster.env`, `mesh.yaml`, `root-cert.pem`, `istio-token`."""

import json
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path

import yaml
from meshcore.errors import ErrorCode, MeshError, Violation

_FILES = ("cluster.env", "mesh.yaml", "root-cert.pem")


def vm_environment(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with what the files say; what is set already counts. INVALID names each file that is wrong.

    A machine that is not told its name is called by its host name.
    """
    missing = [Violation(str(folder / name), "is missing") for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise MeshError(ErrorCode.INVALID, "the workload's files are not complete", missing)
    given = _variables(folder / "cluster.env")
    given["PROXY_CONFIG"] = json.dumps(_default_config(folder / "mesh.yaml"))
    given["CA_ROOT_CERT"] = str(folder / "root-cert.pem")
    given["TOKEN_PATH"] = str(folder / "istio-token")
    whole = {**given, **{name: value for name, value in environment.items() if value}}
    whole.setdefault("POD_NAME", socket.gethostname())
    return whole


def _variables(path: Path) -> dict[str, str]:
    """Lines `NAME=value`, the value quoted as a shell would read it."""
    found, wrong = {}, []
    for number, line in enumerate(_text(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            words = shlex.split(text)
        except ValueError:
            words = []
        name, equals, value = words[0].partition("=") if len(words) == 1 else ("", "", "")
        if not equals or not name.isidentifier():
            wrong.append(Violation(f"{path}:{number}", "is no NAME='value'"))
            continue
        found[name] = value
    if wrong:
        raise MeshError(ErrorCode.INVALID, "the workload's files are not valid", wrong)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MeshError(ErrorCode.INVALID, f"{path} cannot be read: {error}") from None


def _default_config(path: Path) -> object:
    try:
        document = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise MeshError(ErrorCode.INVALID, f"{path} is not YAML: {error}") from None
    config = document.get("defaultConfig", {}) if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise MeshError(ErrorCode.INVALID, f"{path} has no map defaultConfig")
    return config
