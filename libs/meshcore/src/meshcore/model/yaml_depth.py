"""Refuses YAML that nests too deeply before it is composed: the C composer calls itself for each level, and a file of
brackets would overflow the stack of the process."""

import re

import yaml

_OPENERS_WITHOUT_DOUBT = 500
_SUSPECT_PREFIX = re.compile(r"[ ?:-]{200}")
"""A block collection begins behind nothing but these, one column further than what it stands in, at least every second
level; a flow collection begins with a bracket."""

_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def check_depth(text: str, deepest: int) -> None:
    """YAMLError when something in the text nests deeper; what cannot nest beyond some hundreds is not looked at."""
    if not _may_be_deep(text):
        return
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, _OPENING):
            depth += 1
            if depth > deepest:
                problem = f"nested deeper than {deepest}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
        elif isinstance(event, _CLOSING):
            depth -= 1


def _may_be_deep(text: str) -> bool:
    if text.count("[") + text.count("{") > _OPENERS_WITHOUT_DOUBT:
        for document in text.split("\n---"):
            if document.count("[") + document.count("{") > _OPENERS_WITHOUT_DOUBT:
                return True
    return _SUSPECT_PREFIX.search(text) is not None
