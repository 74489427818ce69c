"""Virtual hosts and routes as Envoy matches them, for the simulator. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import re2

from pilot.core.simulation.calls import Call
from pilot.core.simulation.metadata_match import metadata_matches
from pilot.core.simulation.string_match import string_matches


def find_virtual_host(routes: Any, host: str, port: int) -> Any:
    """By domain: exact, then the longest suffix wildcard, then the longest prefix wildcard, then `*`."""
    plain = host.lower()
    spelled = plain if routes.ignore_port_in_host_matching or port == 80 else f"{plain}:{port}"
    best: tuple[int, int] | None = None
    found = None
    for item in routes.virtual_hosts:
        for domain in item.domains:
            rank = _rank(domain.lower(), spelled)
            if rank is not None and (best is None or rank > best):
                best, found = rank, item
    return found


def _rank(domain: str, host: str) -> tuple[int, int] | None:
    if domain == host:
        return 3, 0
    if domain == "*":
        return 0, 0
    if domain.startswith("*") and host.endswith(domain[1:]):
        return 2, len(domain)
    if domain.endswith("*") and host.startswith(domain[:-1]):
        return 1, len(domain)
    return None


def find_route(host: Any, call: Call) -> Any:
    """The first route all of whose conditions hold; None when there is none."""
    seen = request_of(call)
    return next((route for route in host.routes if not mismatch(route.match, seen)), None)


def missed_routes(host: Any, call: Call) -> list[tuple[Any, str]]:
    """The routes before the one that matches (all of them when none does), each with why it does not."""
    seen = request_of(call)
    found = []
    for route in host.routes:
        why = mismatch(route.match, seen)
        if not why:
            break
        found.append((route, why))
    return found


class Request(NamedTuple):
    """What of a request routes look at."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case, with the pseudo headers."""
    query: Mapping[str, str]
    metadata: Mapping[str, Any] = MappingProxyType({})


def request_of(call: Call) -> Request:
    """The request as Envoy sees it."""
    path, _, after = call.path.partition("?")
    seen = {name.lower(): value for name, value in call.headers.items()}
    seen |= {":method": call.method, ":authority": call.host, ":scheme": "http"}
    query = {name: values[0] for name, values in parse_qs(after, keep_blank_values=True).items()}
    return Request(path, seen, query, call.metadata)


def mismatch(match: Any, request: Request) -> str:
    """The first condition that does not hold, in words; empty when all do."""
    if not _path_matches(match, request.path):
        return f"the path {request.path} {_path_wanted(match)}"
    for header in match.headers:
        if not _header_matches(header, request.headers):
            return f"{_header_words(header.name)} {_difference(header, request.headers.get(header.name.lower()))}"
    for parameter in match.query_parameters:
        if not _query_matches(parameter, request.query):
            return f"the query parameter {parameter.name} {_difference(parameter, request.query.get(parameter.name))}"
    held = all(metadata_matches(item, request.metadata) for item in match.dynamic_metadata)
    return "" if held else "it asks for claims of a token"


def _path_wanted(match: Any) -> str:
    kind = match.WhichOneof("path_specifier")
    if kind == "safe_regex":
        return f"does not match {match.safe_regex.regex}"
    if kind in ("prefix", "path_separated_prefix"):
        return f"does not begin with {getattr(match, kind)}"
    return f"is not {getattr(match, kind)}" if kind == "path" else "is not what it asks for"


def _header_words(name: str) -> str:
    return {":method": "the method", ":authority": "the host", ":scheme": "the scheme"}.get(name, f"the header {name}")


def _difference(matcher: Any, value: str | None) -> str:
    if getattr(matcher, "invert_match", False):
        return f"is {value!r}, which it excludes" if value is not None else "is missing"
    if value is None:
        return "is missing"
    if not matcher.HasField("string_match"):
        return f"is {value!r}"
    wanted = matcher.string_match
    kind = wanted.WhichOneof("match_pattern")
    said = wanted.safe_regex.regex if kind == "safe_regex" else getattr(wanted, kind)
    verb = {"prefix": "does not begin with", "suffix": "does not end with", "contains": "does not contain"}
    return f"{value!r} {verb.get(kind, 'does not match' if kind == 'safe_regex' else 'is not')} {said!r}"


def _path_matches(match: Any, path: str) -> bool:
    folded = match.HasField("case_sensitive") and not match.case_sensitive.value
    kind = match.WhichOneof("path_specifier")
    if kind == "safe_regex":
        return re2.fullmatch(match.safe_regex.regex, path) is not None
    wanted = getattr(match, kind)
    wanted, path = (wanted.lower(), path.lower()) if folded else (wanted, path)
    if kind == "path":
        return bool(path == wanted)
    if kind == "path_separated_prefix":
        return bool(path == wanted or path.startswith(wanted + "/"))
    return bool(path.startswith(wanted))


def _header_matches(matcher: Any, headers: Mapping[str, str]) -> bool:
    value = headers.get(matcher.name.lower())
    if matcher.WhichOneof("header_match_specifier") == "present_match":
        held = (value is not None) == matcher.present_match
    elif value is None and not matcher.treat_missing_header_as_empty:
        return False
    else:
        held = string_matches(matcher.string_match, value or "")
    return bool(held != matcher.invert_match)


def _query_matches(matcher: Any, query: Mapping[str, str]) -> bool:
    value = query.get(matcher.name)
    if value is None:
        return False
    if matcher.WhichOneof("query_parameter_match_specifier") == "present_match":
        return True
    return string_matches(matcher.string_match, value)


def redirected(route: Any, host: str, port: int, target: str, *, tls: bool) -> str:
    """The `location` of a redirect: what it does not change is the request's own."""
    moved = route.redirect
    own = "https" if tls else "http"
    scheme = moved.scheme_redirect or ("https" if moved.https_redirect else own)
    name = moved.host_redirect or host
    if moved.port_redirect:
        name = f"{name}:{moved.port_redirect}"
    elif not moved.host_redirect and port not in (80, 443):
        name = f"{name}:{port}"
    path, mark, query = target.partition("?")
    if moved.path_redirect:
        path = moved.path_redirect
        mark, query = ("", "") if "?" in path else (mark, query)
    elif moved.prefix_rewrite:
        kind = route.match.WhichOneof("path_specifier")
        matched = len(path) if kind in ("path", "safe_regex") else len(getattr(route.match, kind))
        path = moved.prefix_rewrite + path[matched:]
    return f"{scheme}://{name}{path}{mark}{query}"
