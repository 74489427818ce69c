"""Who is calling, as matchers that every gRPC library with RBAC reads the same (gRFC A41). Pure.

There are no regular expressions among them: libraries of some years take such a name to mean everybody who has a
certificate. So what policies leave open is spelled out for the trust domains of which callers are taken at all.
"""

from collections.abc import Sequence

from pilot.core.compiler.authorization.identities import SCHEME
from pilot.core.compiler.authorization.matchers import Text, text_matcher
from pilot.core.compiler.authorization.unfit import Unfit


def principal(value: str, domains: Sequence[str], _: str) -> list[Text]:
    """A principal, as policies write it; `*/...` is one of any trust domain."""
    if value == "*":
        return [Text(prefix=SCHEME)]
    if value.startswith("*/"):
        return [Text(exact=f"{SCHEME}{domain}{value[1:]}") for domain in domains]
    if value.startswith("*"):
        raise Unfit(f"gRPC cannot look for the end {value!r} of a principal")
    return [text_matcher(value, before=SCHEME)]


def namespace(value: str, domains: Sequence[str], _: str) -> list[Text]:
    """A namespace, with `*` at its end for any text."""
    name, star, more = value.partition("*")
    if more:
        raise Unfit(f"gRPC knows namespaces with * at the end only, which {value!r} is not")
    return [Text(prefix=f"{SCHEME}{domain}/ns/{name}{'' if star else '/'}") for domain in domains]


def service_account(value: str, domains: Sequence[str], own_namespace: str) -> list[Text]:
    """`NAMESPACE/NAME`, or `NAME` of the policy's own namespace, and whatever may stand behind it."""
    owner, slash, name = value.partition("/")
    if not slash:
        owner, name = own_namespace, value
    ids = [f"{SCHEME}{domain}/ns/{owner}/sa/{name}" for domain in domains]
    return [text for one in ids for text in (Text(exact=one), Text(prefix=f"{one}/"))]


def trust_domain(value: str, domains: Sequence[str], _: str) -> list[Text]:
    """Those of the trust domains that the value means, with one `*` for any text; perhaps none."""
    before, star, behind = value.partition("*")

    def means(domain: str) -> bool:
        if not star:
            return domain == value
        fits = domain.startswith(before) and domain.endswith(behind)
        return fits and len(domain) >= len(before) + len(behind)

    return [Text(prefix=f"{SCHEME}{domain}/") for domain in domains if means(domain)]
