"""Where the fields of a YAML document stand. Most documents are never asked, so nothing is kept but their place in the
text; one that is asked for is composed once more.
"""

from functools import lru_cache

import yaml

from meshcore.model.yaml_loader import Loader

_ANOTHER = "---\n"
_COMPOSED = 8
"""Documents that stay composed: whoever asks for one line of a document soon asks for more of them."""


class Layout:
    """One document of a text: what stands between the root node before it and the end of its own."""

    def __init__(self, text: str, before: yaml.Node | None, root: yaml.Node) -> None:
        self._text = text
        self._end = root.end_mark.index
        self._begin = self._lines_before = 0
        self._follows = before is not None
        if before is not None:
            self._begin = before.end_mark.index
            self._lines_before = before.end_mark.line - 1  # the line of `_ANOTHER` is in no file

    def line_of(self, path: str, line: int) -> int:
        """The line of the field, or of its nearest parent that is there; `line` is that of the document itself."""
        node, rest = _root(self._text[self._begin : self._end], follows=self._follows), path
        while node is not None and rest:
            step = step_into(node, rest)
            if step is None:
                break
            node, found, rest = step
            line = found + self._lines_before
        return line


@lru_cache(_COMPOSED)
def _root(part: str, *, follows: bool) -> yaml.Node | None:
    """The root of a document. What stands before it (a comment, `...`) belongs to an empty document here."""
    loader = Loader(f"{_ANOTHER}{part}" if follows else part)
    try:
        root = None
        while loader.check_node():
            root = loader.get_node()
            loader.construct_document(root)  # which puts what a `<<` merges into the node that it is merged into
        return root
    finally:
        loader.dispose()


def step_into(node: yaml.Node, path: str) -> tuple[yaml.Node, int, str] | None:
    """Follow the first part of `path`: the node there, its line (from 1), and the rest of the path."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            for form in (f".{key.value}", f"[{key.value}]", key.value):
                rest = path[len(form) :]
                if path.startswith(form) and (not rest or rest[0] in ".["):
                    return value, key.start_mark.line + 1, rest
    elif isinstance(node, yaml.SequenceNode) and path.startswith("["):
        number, bracket, rest = path[1:].partition("]")
        if bracket and number.isdecimal() and int(number) < len(node.value):
            value = node.value[int(number)]
            return value, value.start_mark.line + 1, rest
    return None
