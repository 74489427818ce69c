"""What Envoy's RBAC terms say of one request or connection, for the simulator. Pure.

`unmet` answers with the first condition that does not hold, in words; nothing when all do. It knows the terms that this
mesh emits, and raises for what it does not know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import re2
from meshcore.xds import registry

from pilot.core.simulation.metadata_match import metadata_matches, metadata_value
from pilot.core.simulation.string_match import string_matches


@dataclass(frozen=True)
class Asked:
    """One request (or connection, when `is_http` is False) as the proxy of its server sees it.

    `principal` is the SPIFFE id that mesh mTLS proved, empty without it; `source_ip` is the connection's, `remote_ip`
    whom forwarding proxies named (the connection's when empty). `headers` are by lower-case name. `metadata` is what
    filters found out, by filter: claims of a token are `{"envoy.filters.http.jwt_authn": {"payload": {...}}}`.
    """

    principal: str = ""
    source_ip: str = ""
    remote_ip: str = ""
    destination_ip: str = ""
    destination_port: int = 0
    server_name: str = ""
    is_http: bool = True
    method: str = "GET"
    host: str = ""
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """The value of a header, or of a pseudo header; None when it did not come."""
        if not self.is_http:
            return None
        pseudo = {":method": self.method, ":authority": self.host, "host": self.host, ":path": self.path}
        return pseudo.get(name.lower(), self.headers.get(name.lower()))


def unmet(term: Any, asked: Asked) -> str:
    """Of a permission or a principal."""
    kind, inner = _read(term)
    if kind == "any":
        return ""
    if kind in ("and_rules", "and_ids"):
        return next((why for item in _parts(inner) if (why := unmet(item, asked))), "")
    if kind in ("or_rules", "or_ids"):
        missed = [unmet(item, asked) for item in _parts(inner)]
        return "" if not all(missed) else missed[0]  # alternatives are of one attribute, and its value is said once
    if kind in ("not_rule", "not_id"):
        return "" if unmet(inner, asked) else f"{_words(inner, asked)}, which is excepted"
    return "" if _attribute(kind).holds(inner, asked) else _words(term, asked)


def _read(term: Any) -> tuple[str, Any]:
    kind = str(term.WhichOneof("rule" if term.DESCRIPTOR.name == "Permission" else "identifier"))
    return kind, getattr(term, kind)


def _parts(inner: Any) -> Any:
    return inner.rules if inner.DESCRIPTOR.fields_by_name.get("rules") is not None else inner.ids


def _words(term: Any, asked: Asked) -> str:
    """The attribute that a term looks at, with its value."""
    kind, inner = _read(term)
    if kind == "any":
        return "nobody is meant"
    if kind in ("and_rules", "and_ids", "or_rules", "or_ids"):
        return _words(next(iter(_parts(inner))), asked)
    if kind in ("not_rule", "not_id"):
        return _words(inner, asked)
    return _attribute(kind).words(inner, asked)


class _Attribute(NamedTuple):
    """Whether a term of this kind holds, and what it looks at with its value."""

    holds: Callable[[Any, Asked], bool]
    words: Callable[[Any, Asked], str]


def _attribute(kind: str) -> _Attribute:
    if kind not in _ATTRIBUTES:
        raise ValueError(f"the simulator does not know {kind} of RBAC")
    return _ATTRIBUTES[kind]


def _header_holds(matcher: Any, asked: Asked) -> bool:
    value = asked.header(matcher.name)
    if matcher.HasField("present_match"):
        return bool((value is not None) == matcher.present_match)
    return value is not None and string_matches(matcher.string_match, value)


def _header_words(matcher: Any, asked: Asked) -> str:
    value = asked.header(matcher.name)
    name = {":method": "the method", ":authority": "the host"}.get(matcher.name, f"the header {matcher.name}")
    return f"{name} is {value}" if value is not None else f"{name} is missing"


def _metadata_words(matcher: Any, asked: Asked) -> str:
    keys = ".".join(part.key for part in matcher.path[1:] or matcher.path)
    value = metadata_value(matcher, asked.metadata)
    return f"the token's {keys} is {value}" if value is not None else f"there is no {keys} of a token"


def _path_words(_: Any, asked: Asked) -> str:
    return f"the path is {_plain(asked.path)}"


_ATTRIBUTES: Mapping[str, _Attribute] = {
    "header": _Attribute(_header_holds, _header_words),
    "url_path": _Attribute(lambda one, asked: string_matches(one.path, _plain(asked.path)), _path_words),
    "uri_template": _Attribute(lambda one, asked: _template_matches(one, _plain(asked.path)), _path_words),
    "destination_port": _Attribute(
        lambda one, asked: bool(asked.destination_port == one), lambda _, asked: f"the port is {asked.destination_port}"
    ),
    "destination_ip": _Attribute(
        lambda one, asked: _inside(one, asked.destination_ip),
        lambda _, asked: f"the destination's address is {asked.destination_ip or 'unknown'}",
    ),
    "direct_remote_ip": _Attribute(
        lambda one, asked: _inside(one, asked.source_ip),
        lambda _, asked: f"the caller's address is {asked.source_ip or 'unknown'}",
    ),
    "remote_ip": _Attribute(
        lambda one, asked: _inside(one, asked.remote_ip or asked.source_ip),
        lambda _, asked: f"the client's address is {asked.remote_ip or asked.source_ip or 'unknown'}",
    ),
    "authenticated": _Attribute(
        lambda one, asked: bool(asked.principal) and string_matches(one.principal_name, asked.principal),
        lambda _, asked: f"the caller is {asked.principal}" if asked.principal else "the caller proves no identity",
    ),
    "requested_server_name": _Attribute(
        lambda one, asked: string_matches(one, asked.server_name),
        lambda _, asked: f"the server name is {asked.server_name or 'missing'}",
    ),
    "metadata": _Attribute(lambda one, asked: metadata_matches(one, asked.metadata), _metadata_words),
}


def _plain(path: str) -> str:
    return path.partition("?")[0].partition("#")[0]


def _template_matches(extension: Any, path: str) -> bool:
    """`*` is one segment, `**` any number of them (Envoy's uri_template)."""
    config: Any = registry.unpack(extension.typed_config)
    expression = re2.escape(config.path_template)
    expression = expression.replace(re2.escape("**"), ".*").replace(re2.escape("*"), "[^/]+")
    return bool(re2.fullmatch(expression, path))


def _inside(network: Any, address: str) -> bool:
    if not address:
        return False
    return ip_address(address) in ip_network(f"{network.address_prefix}/{network.prefix_len.value}", strict=False)
