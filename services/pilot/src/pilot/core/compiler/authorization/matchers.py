"""Values of policies as Envoy's matchers: `*` is presence, `*x` a suffix, `x*` a prefix, the rest the whole text. Pure.

security.md §7 has the table. What goes into a regular expression is quoted, so that no sign of a name means anything.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

from envoy.config.core.v3 import extension_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.path.match.uri_template.v3 import uri_template_match_pb2
from envoy.type.matcher.v3 import metadata_pb2, path_pb2, regex_pb2, string_pb2, value_pb2
from meshcore.path_template import envoy_template
from meshcore.regular_expression import regex_fault

from pilot.core.compiler.authorization.unfit import Unfit
from pilot.core.compiler.messages import any_of

Text: TypeAlias = string_pb2.StringMatcher
Value: TypeAlias = value_pb2.ValueMatcher
ANY_TEXT = ".+"
_SURELY_SMALL = 4096
"""Characters of an expression of ours that Envoy takes whatever they are: each is a handful of RE2's instructions."""
_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")


def quoted(text: str) -> str:
    """The text as a part of an RE2 expression that stands for itself."""
    return _SPECIAL.sub(r"\\\1", text)


def regex(expression: str) -> Text:
    """An expression for all of the text; `Unfit` when Envoy would refuse the whole listener for its size."""
    if len(expression) > _SURELY_SMALL and (fault := regex_fault(expression)):
        raise Unfit(f"as a regular expression {fault}")
    return Text(safe_regex=regex_pb2.RegexMatcher(regex=expression))


def text_matcher(value: str, *, before: str = "", ignore_case: bool = False) -> Text:
    """Of a value that stands behind `before` in what is matched; `*` is any text that is not empty."""
    if value == "*":
        return regex(ANY_TEXT)
    if value.startswith("*"):
        if before:
            return regex(f"{before}.*{quoted(value[1:])}")
        return Text(suffix=value[1:], ignore_case=ignore_case)
    if value.endswith("*"):
        return Text(prefix=before + value[:-1], ignore_case=ignore_case)
    return Text(exact=before + value, ignore_case=ignore_case)


def header_matcher(name: str, value: str, *, ignore_case: bool = False) -> route_components_pb2.HeaderMatcher:
    """Of a header's value; `*` is any, the empty one too."""
    if value == "*":
        return route_components_pb2.HeaderMatcher(name=name, present_match=True)
    return route_components_pb2.HeaderMatcher(name=name, string_match=text_matcher(value, ignore_case=ignore_case))


def header_as(name: str, text: Text) -> route_components_pb2.HeaderMatcher:
    """Of a header that came, by its whole value: all its lines, with commas between them."""
    return route_components_pb2.HeaderMatcher(name=name, string_match=text)


def path_matcher(path: str) -> path_pb2.PathMatcher:
    """Of a path without its query."""
    return path_pb2.PathMatcher(path=text_matcher(path))


def template_matcher(path: str) -> extension_pb2.TypedExtensionConfig:
    """Of a path with `{*}` for one segment and `{**}` for any number of them."""
    config = uri_template_match_pb2.UriTemplateMatchConfig(path_template=envoy_template(path))
    return extension_pb2.TypedExtensionConfig(name="uri-template", typed_config=any_of(config))


def either(values: Iterable[Value]) -> Value:
    """One of them."""
    found = list(values)
    return found[0] if len(found) == 1 else Value(or_match=value_pb2.OrMatcher(value_matchers=found))


def listed(value: Value) -> Value:
    """A list with such a value in it."""
    return Value(list_match=value_pb2.ListMatcher(one_of=value))


def metadata_matcher(namespace: str, keys: Iterable[str], value: Value) -> metadata_pb2.MetadataMatcher:
    """Of what a filter left in dynamic metadata."""
    made = metadata_pb2.MetadataMatcher(filter=namespace, value=value)
    for key in keys:
        made.path.add(key=key)
    return made
