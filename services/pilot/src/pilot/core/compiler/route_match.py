"""Conditions of a VirtualService's HTTP match as Envoy's route match; what is decided per proxy is decided here.
Pure."""

import re

from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from meshcore.model.virtual_service import HttpMatchRequest, HttpRoute, StringMatch

from pilot.core.compiler.clients import Client
from pilot.core.compiler.jwt_claims import claim_has, claim_path
from pilot.core.compiler.messages import boolean

_BEHIND_PATHS = re.compile("[?#]")
_Match = route_components_pb2.RouteMatch
_Header = route_components_pb2.HeaderMatcher


def is_catch_all(match: HttpMatchRequest | None) -> bool:
    """Whether nothing after this match can be reached."""
    if match is None:
        return True
    if match.headers or match.without_headers or match.query_params or match.method or match.authority or match.scheme:
        return False
    uri = match.uri
    return uri is None or uri.prefix == "/" or uri.regex == ".*" or _is_empty(uri)


def route_match(match: HttpMatchRequest | None, *, by_segments: bool = False) -> route_components_pb2.RouteMatch:
    """Envoy's form; no match is the prefix `/`. With `by_segments` prefixes end where a segment of the path does."""
    if match is None:
        return _Match(prefix="/")
    made = _path(match.uri, by_segments=by_segments)
    if match.ignore_uri_case:
        made.case_sensitive.CopyFrom(boolean(False))
    for name, value in sorted(match.headers.items()):
        if claim := claim_path(name):
            made.dynamic_metadata.append(claim_has(claim, string_matcher(value)))
        else:
            made.headers.append(_header(name, value))
    for name, value in sorted(match.without_headers.items()):
        if claim := claim_path(name):
            made.dynamic_metadata.append(claim_has(claim, string_matcher(value), invert=True))
        else:
            header = _header(name, value)
            header.invert_match = True
            header.treat_missing_header_as_empty = not header.HasField("present_match")
            made.headers.append(header)
    for name, pseudo in ((":method", match.method), (":authority", match.authority), (":scheme", match.scheme)):
        if pseudo is not None:
            made.headers.append(_header(name, pseudo))
    for name, value in sorted(match.query_params.items()):
        made.query_parameters.append(_query(name, value))
    return made


def surviving_matches(route: HttpRoute, port: int, owner: str, client: Client) -> tuple[int, ...] | None:
    """Indexes of the matches that count for this client; None when the route has none that does.

    `owner` is the namespace of the VirtualService.
    """
    if not route.match:
        return ()
    found = tuple(index for index, match in enumerate(route.match) if client.meets(match, port, owner))
    return found or None


def string_matcher(value: StringMatch) -> string_pb2.StringMatcher:
    """Exact, prefix or RE2."""
    if value.exact is not None:
        return string_pb2.StringMatcher(exact=value.exact)
    if value.prefix:
        return string_pb2.StringMatcher(prefix=value.prefix)
    return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=value.regex or ".*"))


def _is_empty(value: StringMatch) -> bool:
    return not (value.exact or value.prefix or value.regex)


def _path(uri: StringMatch | None, *, by_segments: bool) -> route_components_pb2.RouteMatch:
    if uri is None or _is_empty(uri):
        return _Match(prefix="/")
    if uri.exact is not None:
        return _Match(path=uri.exact)
    if uri.prefix is not None:
        segments = uri.prefix.rstrip("/")
        # What Envoy takes no segments for never is a path, or is its beginning.
        if by_segments and len(segments) > 1 and not _BEHIND_PATHS.search(segments):
            return _Match(path_separated_prefix=segments)
        return _Match(prefix=uri.prefix)
    return _Match(safe_regex=regex_pb2.RegexMatcher(regex=uri.regex or ""))


def _any_value(value: StringMatch) -> bool:
    return _is_empty(value) or value.regex == "*"


def _header(name: str, value: StringMatch) -> route_components_pb2.HeaderMatcher:
    if _any_value(value):
        return _Header(name=name, present_match=True)
    return _Header(name=name, string_match=string_matcher(value))


def _query(name: str, value: StringMatch) -> route_components_pb2.QueryParameterMatcher:
    if _any_value(value):
        return route_components_pb2.QueryParameterMatcher(name=name, present_match=True)
    return route_components_pb2.QueryParameterMatcher(name=name, string_match=string_matcher(value))
