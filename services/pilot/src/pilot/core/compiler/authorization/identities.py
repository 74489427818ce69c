"""Who is calling, as matchers of the SPIFFE id in the caller's certificate: `spiffe://<td>/ns/<ns>/sa/<sa>`. Pure."""

from envoy.config.rbac.v3 import rbac_pb2

from pilot.core.compiler.authorization.matchers import Text, quoted, regex, text_matcher

SCHEME = "spiffe://"


def by_certificate(matcher: Text) -> rbac_pb2.Principal:
    """A caller whose certificate, which mesh mTLS has verified, has such an id."""
    return rbac_pb2.Principal(authenticated=rbac_pb2.Principal.Authenticated(principal_name=matcher))


def principal(value: str) -> Text:
    """A principal, as policies write it: without the scheme."""
    return text_matcher(value, before=SCHEME)


def namespace(value: str) -> Text:
    """A namespace; every `*` is any text."""
    return regex(f".*/ns/{quoted(value).replace(quoted('*'), '.*')}/.*")


def service_account(value: str, own_namespace: str) -> Text:
    """`NAMESPACE/NAME`, or `NAME` of the policy's own namespace."""
    owner, slash, name = value.partition("/")
    if not slash:
        owner, name = own_namespace, value
    return regex(f"spiffe://.+/ns/{quoted(owner)}/(.+/|)sa/{quoted(name)}(/.+)?")


def trust_domain(value: str) -> Text:
    """A trust domain, with one `*` at an end for any text without a slash."""
    if value == "*":
        return Text(prefix=SCHEME)
    if "*" not in value:
        return Text(prefix=f"{SCHEME}{value}/")
    return regex(f"{SCHEME}{quoted(value).replace(quoted('*'), '[^/]*')}/.*")
