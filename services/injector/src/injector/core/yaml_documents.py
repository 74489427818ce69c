"""Kubernetes YAML as text: split into documents that keep their bytes, read without YAML 1.1's surprises. Pure."""

import re
from dataclasses import dataclass
from typing import Any

import yaml
from meshcore.model.yaml_depth import check_depth

LARGEST_DOCUMENT = 1_000_000
"""Values of one document, aliases written out."""

DEEPEST_DOCUMENT = 200
"""Levels of maps and lists in each other: PyYAML's work for one more token grows with the levels that are open."""

_SEPARATOR = re.compile(r"^---[ \t]*(#.*)?$")


class NoSurprisesLoader(yaml.SafeLoader):
    """SafeLoader that leaves dates and base-60 numbers (`12:30`) as the strings they are in Kubernetes."""


NoSurprisesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[-1] in ("bool", "null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
NoSurprisesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*|0[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
NoSurprisesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?$|[-+]?[0-9]+[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


class _PlainDumper(yaml.SafeDumper):
    """Block style without anchors: kubectl users read the result."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document: the separator line before it as it stood ("" for a first one without), and its own text."""

    separator: str
    text: str


def split_documents(text: str) -> list[YamlDocument]:
    """The documents of a stream, in order; joining every separator and text gives the input back, byte for byte."""
    documents = []
    separator, lines = "", list[str]()
    for line in text.splitlines(keepends=True):
        if _SEPARATOR.match(line.rstrip("\r\n")):
            documents.append(YamlDocument(separator, "".join(lines)))
            separator, lines = line, []
        else:
            lines.append(line)
    documents.append(YamlDocument(separator, "".join(lines)))
    return [document for document in documents if document.separator or document.text]


def read_document(text: str) -> Any:
    """The document's value; None for an empty one.

    Raises yaml.YAMLError, also when aliases make a few lines stand for more than LARGEST_DOCUMENT values, and when it
    nests deeper than DEEPEST_DOCUMENT.
    """
    check_depth(text, DEEPEST_DOCUMENT)
    try:
        value = yaml.load(text, Loader=NoSurprisesLoader)  # noqa: S506 - a SafeLoader with fewer types
        size = _expanded_size(value, {})
    except RecursionError:
        raise yaml.YAMLError("nested too deeply, or an alias that contains itself") from None
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from None
    if size > LARGEST_DOCUMENT:
        raise yaml.YAMLError(f"aliases expand to more than {LARGEST_DOCUMENT} values")
    return value


def _expanded_size(value: Any, known: dict[int, int]) -> int:
    """How many values a document has once every alias is written out; each shared part is counted once to tell."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_expanded_size(item, known) for item in inner)
    return known[id(value)]


def write_document(value: Any) -> str:
    """Block-style YAML with keys in their given order, ending in a newline."""
    text: str = yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, width=4096, allow_unicode=True)
    return text
