"""Where the claims of a verified token are, and how config matches them. Pure.

Stock Envoy's JWT filter leaves the payload of the token that it took in dynamic metadata: namespace
`envoy.filters.http.jwt_authn`, path `payload`, then the claims as they stand in the token (security.md §6). The request
principal is `<payload.iss>/<payload.sub>`. Nothing is there when a request brought no token.
"""

import re

from envoy.type.matcher.v3 import metadata_pb2, string_pb2, value_pb2

JWT_FILTER = "envoy.filters.http.jwt_authn"
"""Name of the filter and of its namespace in dynamic metadata."""
PAYLOAD = "payload"
"""The key under which the payload is."""
_HEADER = re.compile(r"@request\.auth\.claims(?:\.(?P<dotted>.+)|(?P<listed>(?:\[[^][]+\])+))", re.IGNORECASE)


def claim_path(name: str) -> tuple[str, ...]:
    """The claim that a header's name stands for, outermost key first: `@request.auth.claims.group.name`, or
    `@request.auth.claims[group][name]`; nothing when the name is a header's."""
    found = _HEADER.fullmatch(name)
    if found is None:
        return ()
    listed = found["listed"]
    return tuple(listed[1:-1].split("][") if listed else found["dotted"].split("."))


def claim_is(
    keys: tuple[str, ...], value: string_pb2.StringMatcher, *, invert: bool = False
) -> metadata_pb2.MetadataMatcher:
    """The claim under `keys` is a text that `value` matches; `invert` for every other request, without token too."""
    return _metadata(keys, value_pb2.ValueMatcher(string_match=value), invert=invert)


def claim_has(
    keys: tuple[str, ...], value: string_pb2.StringMatcher, *, invert: bool = False
) -> metadata_pb2.MetadataMatcher:
    """The same, or the claim is a list with such a text in it, as `aud` may be."""
    one = value_pb2.ValueMatcher(string_match=value)
    listed = value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=one))
    either = value_pb2.ValueMatcher(or_match=value_pb2.OrMatcher(value_matchers=[listed, one]))
    return _metadata(keys, either, invert=invert)


def _metadata(keys: tuple[str, ...], value: value_pb2.ValueMatcher, *, invert: bool) -> metadata_pb2.MetadataMatcher:
    made = metadata_pb2.MetadataMatcher(filter=JWT_FILTER, value=value, invert=invert)
    for key in (PAYLOAD, *keys):
        made.path.add(key=key)
    return made
