"""Config files: YAML or JSON documents from files, folders (recursively, in order of name) and standard input."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from meshcore.errors import ErrorCode, MeshError
from meshcore.model.load import Document, load_yaml_documents

from meshctl.adapters.text_files import read_text

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


def read_some_documents(paths: Sequence[str]) -> list[Document]:
    """Every document of the paths; NOT_FOUND when there is none at all, which is hardly what somebody meant."""
    documents = read_documents(paths)
    if not documents:
        raise MeshError(ErrorCode.NOT_FOUND, f"no object in {', '.join(paths)}")
    return documents
