"""RequestAuthentication at gRPC servers without a proxy, whose libraries verify no tokens: calls that bring one are
refused, as nobody could say whether it is good; so are calls with a header in which claims would be handed on. Pure.

A call without a token passes, as everywhere, until an AuthorizationPolicy asks for one (which lets nobody in there).
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from meshcore.model.request_authentication import JwtRule

from pilot.core.compiler.authorization.attributes import grpc_header_fault
from pilot.core.compiler.authorization.matchers import Text

_Header: TypeAlias = route_components_pb2.HeaderMatcher
_DEFAULT = ("authorization", "Bearer ")


def unchecked_tokens(rules: Iterable[JwtRule]) -> dict[str, rbac_pb2.Policy]:
    """What of calls is to be denied, as the policies of a RBAC filter; nothing without rules.

    Where a library cannot look at a header that a rule reads, every call is denied. Parameters of the path are not
    looked at: no method has a name with any.
    """
    headers = {str(header): header for rule in rules for header in _headers(rule)}
    if not headers:
        return {}
    permissions = [
        rbac_pb2.Permission(any=True) if grpc_header_fault(header.name) else rbac_pb2.Permission(header=header)
        for _, header in sorted(headers.items())
    ]
    return {"unchecked-tokens": rbac_pb2.Policy(permissions=permissions, principals=[rbac_pb2.Principal(any=True)])}


def _headers(rule: JwtRule) -> Iterator[_Header]:
    """Where the rule finds tokens (in any line of a header, as lines are joined), and what it would hand on."""
    if not (rule.from_headers or rule.from_params or rule.from_cookies):
        yield _with(*_DEFAULT)
    for item in rule.from_headers:
        yield _with(item.name, item.prefix)
    for name in rule.from_cookies:
        yield _with("cookie", f"{name}=")
    for name in (rule.output_payload_to_header, *(item.header for item in rule.output_claim_to_headers)):
        if name:
            yield _with(name, "")


def _with(name: str, text: str) -> _Header:
    if not text:
        return _Header(name=name.lower(), present_match=True)
    return _Header(name=name.lower(), string_match=Text(contains=text, ignore_case=True))
