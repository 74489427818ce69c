"""Text files as the user names them, and the workloads file; kept apart from what needs the mesh's models."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from meshctl.core.workloads import WorkloadsFile, parse_workloads


def read_text(path: str) -> str:
    """A file's text; `-` is standard input. MeshError(NOT_FOUND) when there is no such file."""
    try:
        if path == "-":
            return sys.stdin.read()
        return Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise MeshError(ErrorCode.NOT_FOUND, f"no such file: {path}") from None
    except PermissionError:
        raise MeshError(ErrorCode.PERMISSION_DENIED, f"{path} may not be read") from None
    except UnicodeDecodeError:
        raise MeshError(ErrorCode.INVALID, f"{path} is not UTF-8 text") from None


def read_json_object(path: str) -> dict[str, Any]:
    """A JSON object; INVALID for a file that is none."""
    try:
        document = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise MeshError(ErrorCode.INVALID, f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise MeshError(ErrorCode.INVALID, f"{path} is not a JSON object")
    return document


def read_workloads(path: str) -> WorkloadsFile:
    """A workloads file."""
    try:
        document = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise MeshError(ErrorCode.INVALID, f"{path}: {error}") from None
    return parse_workloads(document, str(Path(path).resolve().parent), path)
