"""YAML as config means it: YAML 1.1 as PyYAML's safe loader reads it, without dates and whatever else JSON does not
have, without duplicate keys, within limits.

libyaml composes. Texts, lists and mappings, which is nearly all there is, become values here in fewer steps than
PyYAML takes; every rarer sort of node (numbers, booleans, merges, tagged ones) is left to PyYAML.
"""

from collections.abc import Callable, Iterator
from typing import Any

import yaml

_PREFIX = "tag:yaml.org,2002:"
_TEXT, _MAPPING, _SEQUENCE = f"{_PREFIX}str", f"{_PREFIX}map", f"{_PREFIX}seq"
_PLAIN: dict[str, list[tuple[str, Callable[[str], object]]]] = {
    first: [(tag, pattern.match) for tag, pattern in resolvers if tag not in (f"{_PREFIX}timestamp", f"{_PREFIX}value")]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
"""What an unquoted scalar may be instead of a text, by its first character. Kubernetes has no dates, nor a meaning of
`=`."""
_NOT_IN_JSON = frozenset(f"{_PREFIX}{name}" for name in ("timestamp", "set", "omap", "pairs"))
_LETTERS_PER_NODE = 64


class Loader(yaml.CSafeLoader):
    """Safe YAML 1.1 without dates and without duplicate keys."""

    def descend_resolver(self, parent: Any, index: Any) -> None:
        """No tag depends on where a node stands."""

    def ascend_resolver(self) -> None:
        """The same on the way back."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """The tag of a node that names none; `implicit` says first of a scalar whether it is unquoted."""
        if kind is yaml.ScalarNode:
            if implicit[0]:
                for tag, matches in _PLAIN.get(value[:1], ()):
                    if matches(value):
                        return tag
            return _TEXT
        return _MAPPING if kind is yaml.MappingNode else _SEQUENCE

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; what aliases mean is one value wherever they stand."""
        sort, tag = type(node), node.tag
        if sort is yaml.ScalarNode and tag == _TEXT:
            return node.value
        if node in self.constructed_objects:
            return self.constructed_objects[node]
        made: Any
        if sort is yaml.MappingNode and tag == _MAPPING:
            made = self._mapping_or_address(node)
        elif sort is yaml.SequenceNode and tag == _SEQUENCE:
            made = [self.construct_object(child) for child in node.value]
        else:
            return self._rarer(node)
        self.constructed_objects[node] = made
        return made

    def _rarer(self, node: yaml.Node) -> Any:
        """A value of PyYAML's; a tag that does not fit what it stands on takes its constructors by surprise. Binary is
        the text that it encodes, as tools in Go read it."""
        if node.tag in _NOT_IN_JSON:
            problem = f"what is tagged {node.tag} has no place in JSON"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        try:
            made = super().construct_object(node, deep=True)
            return made.decode() if isinstance(made, bytes) else made
        except (LookupError, TypeError, AttributeError, ValueError):
            problem = f"what is tagged {node.tag} is none"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping with keys of any sort; ConstructorError for a key that stands twice."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = getattr(key, "value", None)
            if isinstance(name, str) and name in seen and name != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is there twice", key.start_mark)
            if isinstance(name, str):
                seen.add(name)
        made = super().construct_mapping(node, deep)
        texts = {_key_text(key): value for key, value in made.items()}
        if None in texts:
            raise yaml.constructor.ConstructorError(None, None, "a key is neither a text nor a number", node.start_mark)
        return texts

    def _mapping_or_address(self, node: Any) -> Any:
        """A mapping, or the text that an address such as `2001:db8::` is meant to be."""
        pairs = node.value
        if len(pairs) == 1 and (text := _address_text(*pairs[0])) is not None:
            return text
        if all(type(key) is yaml.ScalarNode and key.tag == _TEXT for key, _ in pairs):
            made = {key.value: self.construct_object(value) for key, value in pairs}
            if len(made) == len(pairs):
                return made
        return self.construct_mapping(node, deep=True)


def _key_text(key: Any) -> str | None:
    """Keys are strings, as in JSON: `8080: x` and `true: x` mean the texts. None for what is no key of JSON."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    try:
        return str(key) if isinstance(key, int | float) else None
    except ValueError:  # more digits than Python writes
        return None


def _address_text(key: yaml.Node, value: yaml.Node) -> str | None:
    """YAML reads an unquoted `2001:db8::` as the key `2001:db8:` without a value; what tools in Go read is the text."""
    plain = isinstance(key, yaml.ScalarNode) and not key.style and key.value.endswith(":")
    empty = isinstance(value, yaml.ScalarNode) and not value.style and not value.value
    return f"{key.value}:" if plain and empty else None


def expanded_size(root: yaml.Node, deepest: int) -> int:
    """How many nodes there are once aliases are expanded, a long text counting as many; YAMLError for what nests deeper
    or contains itself."""
    sizes: dict[yaml.Node, int | None] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > deepest:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {deepest}", problem_mark=node.start_mark)
        if node in sizes:
            known = sizes[node]
            if known is None:
                raise yaml.MarkedYAMLError(problem="an alias stands inside what it means", problem_mark=node.start_mark)
            return known
        sizes[node] = None
        total = 1 + (len(node.value) // _LETTERS_PER_NODE if isinstance(node, yaml.ScalarNode) else 0)
        for child in _children(node):
            if type(child) is yaml.ScalarNode and depth < deepest:
                total += 1 + len(child.value) // _LETTERS_PER_NODE
            else:
                total += size(child, depth + 1)
        sizes[node] = total
        return total

    return size(root, 0)


def _children(node: Any) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
