"""The attributes that rules look at, each with what it becomes in Envoy: a permission (what is asked for) or a
principal (who asks). Pure.

The tables are security.md §7's. An attribute of HTTP does not exist on a connection that is not read as HTTP: asked for
there, its maker raises `Unfit`, as it does for a value that nothing can be made of.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from envoy.config.core.v3 import address_pb2
from envoy.config.rbac.v3 import rbac_pb2
from meshcore.path_template import is_template, template_fault

from pilot.core.compiler.authorization import grpc_identities, identities
from pilot.core.compiler.authorization.matchers import (
    Text,
    Value,
    either,
    header_as,
    header_matcher,
    listed,
    metadata_matcher,
    path_matcher,
    template_matcher,
    text_matcher,
)
from pilot.core.compiler.authorization.token_principals import request_principal
from pilot.core.compiler.authorization.unfit import Unfit
from pilot.core.compiler.authorization.wide_values import wide_host, wide_list
from pilot.core.compiler.jwt_claims import JWT_FILTER, PAYLOAD
from pilot.core.compiler.messages import cidr_range

Permission: TypeAlias = rbac_pb2.Permission
Principal: TypeAlias = rbac_pb2.Principal
AUTHORITY = ":authority"
_OWN_HEADERS = frozenset({"te", "connection", "content-type", "content-length"})
_NO_TOKENS = "gRPC checks no tokens"
_HEADER = re.compile(r"request\.headers\[(?P<name>.+)\]")
_CLAIMS = re.compile(r"request\.auth\.claims(?P<keys>(?:\[[^\[\]]+\])+)")
_ANY_CLAIM = re.compile(r"request\.auth\.claims\[(?P<key>.+)\]")
_FILTER = re.compile(r"experimental\.(?P<filter>[^\[\]]+)\[(?P<key>.+)\]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule is read: the namespace of its policy, whether there is no HTTP, and whether values are `wide`: they
    meet every spelling of a host and every part of a list in a header. `callers` are the trust domains of which callers
    are taken, where a gRPC library reads the rule; None for Envoy."""

    namespace: str
    is_tcp: bool = False
    wide: bool = False
    callers: tuple[str, ...] | None = None


OfValue = Callable[[str, Place], Any]
Made = list[Any]
"""Permissions or principals."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """`makes` turns values into terms of which one must hold; a single term when Envoy matches a list `at_once`."""

    of_request: bool
    """Whether it belongs to what is asked for (a permission), not to who asks."""
    only_http: bool
    makes: Callable[[tuple[str, ...], Place], Made]
    at_once: bool = False
    unknown_to_grpc: str = ""
    """Why a gRPC library cannot look at it (gRFC A41); empty when it can."""

    def terms(self, values: tuple[str, ...], place: Place) -> Made:
        """The terms; `Unfit` when they cannot be."""
        if self.only_http and place.is_tcp:
            raise Unfit("it is an attribute of HTTP")
        if self.unknown_to_grpc and place.callers is not None:
            raise Unfit(self.unknown_to_grpc)
        return self.makes(values, place)


def _each(make: OfValue, *, of_request: bool, only_http: bool = False, unknown_to_grpc: str = "") -> Attribute:
    def made(values: tuple[str, ...], place: Place) -> Made:
        return [make(value, place) for value in values]

    return Attribute(of_request, only_http, made, unknown_to_grpc=unknown_to_grpc)


def is_header(key: str) -> bool:
    """Whether a condition looks at a header."""
    return _HEADER.fullmatch(key) is not None


def attribute_of(key: str) -> Attribute:
    """The attribute of a condition's key; `Unfit` for none."""
    if key in BY_KEY:
        return BY_KEY[key]
    if found := _HEADER.fullmatch(key):
        return _header(found["name"])
    if found := _CLAIMS.fullmatch(key):
        return _claim(*found["keys"][1:-1].split("]["))
    if found := _ANY_CLAIM.fullmatch(key):
        return _claim(found["key"])
    if found := _FILTER.fullmatch(key):
        return _filter_metadata(found["filter"], found["key"])
    raise Unfit(f"{key!r} is no attribute")


def _network(value: str) -> address_pb2.CidrRange:
    try:
        return cidr_range(value)
    except ValueError as error:
        raise Unfit(str(error)) from None


def _port(value: str) -> Permission:
    if not (value.isascii() and value.isdecimal() and int(value) <= 65535):
        raise Unfit(f"{value!r} is no port")
    return Permission(destination_port=int(value))


def _host(value: str, place: Place) -> Permission:
    if place.wide and value != "*":
        return Permission(header=header_as(AUTHORITY, wide_host(value)))
    return Permission(header=header_matcher(AUTHORITY, value, ignore_case=True))


def _method(value: str, place: Place) -> Permission:
    # HTTP/2 carries a method as it is written, and many applications take `post` for POST.
    return Permission(header=header_matcher(":method", value, ignore_case=place.wide))


def _path(value: str, place: Place) -> Permission:
    if fault := template_fault(value):
        raise Unfit(fault)
    if is_template(value):
        if place.callers is not None:
            raise Unfit(f"gRPC knows no templates of paths, which {value!r} is")
        return Permission(uri_template=template_matcher(value))
    return Permission(url_path=path_matcher(value))


def _identity(
    of_envoy: Callable[[str, str], Text], of_grpc: Callable[[str, Sequence[str], str], list[Text]]
) -> Attribute:
    def made(values: tuple[str, ...], place: Place) -> Made:
        if place.callers is None:
            return [identities.by_certificate(of_envoy(value, place.namespace)) for value in values]
        texts = [text for value in values for text in of_grpc(value, place.callers, place.namespace)]
        return [identities.by_certificate(text) for text in texts] or [Principal(not_id=Principal(any=True))]

    return Attribute(of_request=False, only_http=False, makes=made)


def _header(name: str) -> Attribute:
    def made(value: str, place: Place) -> Principal:
        wide = place.wide and value != "*"
        # Envoy finds a name in any spelling, a gRPC library in small letters only.
        told = name if place.callers is None else name.lower()
        return Principal(header=header_as(told, wide_list(told, value)) if wide else header_matcher(told, value))

    return _each(made, of_request=False, only_http=True, unknown_to_grpc=grpc_header_fault(name.lower()))


def grpc_header_fault(name: str) -> str:
    """Libraries refuse the first, and read the others in forms of their own."""
    if name.startswith("grpc-") or name == ":scheme":
        return f"gRPC refuses rules about the header {name}"
    if name.endswith("-bin") or name in _OWN_HEADERS:
        return f"gRPC does not show the header {name} as it came"
    return ""


def _claim(*keys: str) -> Attribute:
    """A claim is one text, or a list that has it."""

    def made(values: tuple[str, ...], _: Place) -> Made:
        one = either(Value(string_match=text_matcher(value)) for value in values)
        value = either((listed(one), one))
        return [Principal(metadata=metadata_matcher(JWT_FILTER, (PAYLOAD, *keys), value))]

    return Attribute(of_request=False, only_http=True, makes=made, at_once=True, unknown_to_grpc=_NO_TOKENS)


def _filter_metadata(name: str, key: str) -> Attribute:
    """`[x]` is a list that has x."""

    def one(value: str) -> Value:
        if value.startswith("[") and value.endswith("]"):
            return listed(Value(string_match=text_matcher(value[1:-1])))
        return Value(string_match=text_matcher(value))

    def made(values: tuple[str, ...], _: Place) -> Made:
        return [Permission(metadata=metadata_matcher(name, (key,), either(map(one, values))))]

    fault = "gRPC has no filters that leave metadata"
    return Attribute(of_request=True, only_http=False, makes=made, at_once=True, unknown_to_grpc=fault)


HOST = _each(_host, of_request=True, only_http=True)
METHOD = _each(_method, of_request=True, only_http=True)
PATH = _each(_path, of_request=True, only_http=True)
PORT = _each(lambda value, _: _port(value), of_request=True)
PRINCIPAL = _identity(lambda value, _: identities.principal(value), grpc_identities.principal)
NAMESPACE = _identity(lambda value, _: identities.namespace(value), grpc_identities.namespace)
TRUST_DOMAIN = _identity(lambda value, _: identities.trust_domain(value), grpc_identities.trust_domain)
SERVICE_ACCOUNT = _identity(identities.service_account, grpc_identities.service_account)
REQUEST_PRINCIPAL = _each(
    lambda value, _: request_principal(value), of_request=False, only_http=True, unknown_to_grpc=_NO_TOKENS
)
SOURCE_IP = _each(lambda value, _: Principal(direct_remote_ip=_network(value)), of_request=False)
REMOTE_IP = _each(
    lambda value, _: Principal(remote_ip=_network(value)),
    of_request=False,
    unknown_to_grpc="gRPC knows the address of its peer, not the one that a gateway tells of",
)
DESTINATION_IP = _each(lambda value, _: Permission(destination_ip=_network(value)), of_request=True)
SERVER_NAME = _each(
    lambda value, _: Permission(requested_server_name=text_matcher(value)),
    of_request=True,
    unknown_to_grpc="gRPC does not tell the name that TLS asked for",
)

BY_KEY: Mapping[str, Attribute] = {
    "source.ip": SOURCE_IP,
    "remote.ip": REMOTE_IP,
    "source.namespace": NAMESPACE,
    "source.serviceAccount": SERVICE_ACCOUNT,
    "source.principal": PRINCIPAL,
    "source.trustDomain": TRUST_DOMAIN,
    "request.auth.principal": REQUEST_PRINCIPAL,
    "request.auth.audiences": _claim("aud"),
    "request.auth.presenter": _claim("azp"),
    "destination.ip": DESTINATION_IP,
    "destination.port": PORT,
    "connection.sni": SERVER_NAME,
}
"""By the key of a condition."""
