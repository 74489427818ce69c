"""Reading a file of documents for analysis: a broken document is reported and does not take the others with it."""

from collections.abc import Iterator, Mapping

from meshcore.errors import MeshError, Violation
from meshcore.model.load import Document, load_yaml_documents

_MOST_PARTS = 1000
"""A file with a mistake is read part by part up to this many parts; beyond that it is given up as a whole."""


def read_documents(text: str, source: str) -> tuple[list[Document], list[Violation]]:
    """The documents of a file that can be read, and what is wrong with those that cannot."""
    try:
        documents = load_yaml_documents(text, source)
        problems: list[Violation] = []
    except MeshError as error:
        documents, problems = _read_parts(text, source, error)
    objects = [document for document in documents if isinstance(document.body, Mapping)]
    problems += [
        document.locate(Violation("", "is not an object"))
        for document in documents
        if not isinstance(document.body, Mapping)
    ]
    return objects, problems


def _read_parts(text: str, source: str, whole: MeshError) -> tuple[list[Document], list[Violation]]:
    documents: list[Document] = []
    problems: list[Violation] = []
    parts = list(_parts(text))
    if not 1 < len(parts) <= _MOST_PARTS:
        return [], _violations(whole, source)
    for line, part in parts:
        try:
            documents += load_yaml_documents("\n" * line + part, source)  # so that lines are counted as in the file
        except MeshError as error:
            problems += _violations(error, source)
    return documents, problems or _violations(whole, source)


def _violations(error: MeshError, source: str) -> list[Violation]:
    return list(error.violations) or [Violation("", error.detail, "", source)]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """What stands between the document markers, each with the number of lines before it."""
    start = 0
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.startswith("---") and index > start:
            yield start, "".join(lines[start:index])
            start = index
    yield start, "".join(lines[start:])
