"""Config files: YAML or JSON documents from files, folders (recursively, in order of name) and standard input."""

import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from meshcore.errors import ErrorCode, MeshError
from meshcore.model.load import Document, load_yaml_documents

from meshctl.core.workloads import WorkloadsFile, parse_workloads

SUFFIXES = {".yaml", ".yml", ".json"}


def config_paths(paths: Iterable[str]) -> Iterator[str]:
    """The files of the given paths; a folder gives its YAML and JSON files, `-` is standard input."""
    for path in paths:
        if path == "-" or not Path(path).is_dir():
            yield path
            continue
        yield from (str(found) for found in sorted(Path(path).rglob("*")) if found.suffix in SUFFIXES)


def read_documents(paths: Iterable[str]) -> list[Document]:
    """Every document of the paths, in order."""
    return [document for path in config_paths(paths) for document in load_yaml_documents(read_text(path), path)]


def read_text(path: str) -> str:
    """A file's text; `-` is standard input. MeshError(NOT_FOUND) when there is no such file."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise MeshError(ErrorCode.NOT_FOUND, f"no such file: {path}") from None
    except UnicodeDecodeError:
        raise MeshError(ErrorCode.INVALID, f"{path} is not UTF-8 text") from None


def read_workloads(path: str) -> WorkloadsFile:
    """A workloads file."""
    try:
        document = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise MeshError(ErrorCode.INVALID, f"{path}: {error}") from None
    return parse_workloads(document, str(Path(path).resolve().parent), path)
