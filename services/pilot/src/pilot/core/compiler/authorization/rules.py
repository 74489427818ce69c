"""One rule of a policy as one policy of Envoy's RBAC. Pure.

Each `to` becomes a permission, each `from` a principal, and the conditions of `when` join every one of them. What does
not exist where the rule is read (an attribute of HTTP on a connection of bytes, a token at a gRPC library) errs on the
safe side: a rule that allows is left out whole, a rule that denies, asks or logs is left the rest of its terms, so that
it meets more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from envoy.config.rbac.v3 import rbac_pb2
from meshcore.model.authorization_policy import Action, Condition, Operation, Rule, Source

from pilot.core.compiler.authorization import attributes
from pilot.core.compiler.authorization.attributes import Attribute, Permission, Place, Principal
from pilot.core.compiler.authorization.trust_domains import domains_with_aliases, with_aliases
from pilot.core.compiler.authorization.unfit import Unfit

_SOURCES: Sequence[tuple[str, Attribute]] = (
    ("principals", attributes.PRINCIPAL),
    ("request_principals", attributes.REQUEST_PRINCIPAL),
    ("service_accounts", attributes.SERVICE_ACCOUNT),
    ("trust_domains", attributes.TRUST_DOMAIN),
    ("namespaces", attributes.NAMESPACE),
    ("remote_ip_blocks", attributes.REMOTE_IP),
    ("ip_blocks", attributes.SOURCE_IP),
)
_OPERATIONS: Sequence[tuple[str, Attribute]] = (
    ("hosts", attributes.HOST),
    ("methods", attributes.METHOD),
    ("paths", attributes.PATH),
    ("ports", attributes.PORT),
)
_ALIASED: Mapping[Attribute, Callable[[Iterable[str], Sequence[str]], tuple[str, ...]]] = {
    attributes.PRINCIPAL: with_aliases,
    attributes.TRUST_DOMAIN: domains_with_aliases,
}


class Term(NamedTuple):
    """One attribute, with values of which one must hold and values of which none may."""

    name: str
    attribute: Attribute | None
    """None: a key that means nothing."""
    values: tuple[str, ...]
    not_values: tuple[str, ...]


def envoy_policy(rule: Rule, action: Action, place: Place, domains: Sequence[str]) -> rbac_pb2.Policy | None:
    """The rule as Envoy reads it; None when nothing can be left of it. `domains`: the mesh's, then its aliases."""
    conditions = [_condition(item, domains) for item in rule.when]
    of_request = [term for term in conditions if _is_of_request(term)]
    of_caller = [term for term in conditions if not _is_of_request(term)]
    operations = [item.operation or Operation() for item in rule.to or ()] or [Operation()]
    sources = [item.source or Source() for item in rule.from_ or ()] or [Source()]
    made = rbac_pb2.Policy()
    try:
        for operation in operations:
            terms = _terms(operation, _OPERATIONS, domains) + of_request
            made.permissions.add().and_rules.rules.extend(_conjunction(terms, action, place, _PERMISSIONS))
        for source in sources:
            terms = _terms(source, _SOURCES, domains) + of_caller
            made.principals.add().and_ids.ids.extend(_conjunction(terms, action, place, _PRINCIPALS))
    except Unfit:
        return None
    return made


def faults_of(rule: Rule, place: Place, domains: Sequence[str]) -> Iterator[str]:
    """What of the rule does not exist where it is read, and why, in words."""
    terms = [_condition(item, domains) for item in rule.when]
    for to in rule.to or ():
        terms += _terms(to.operation or Operation(), _OPERATIONS, domains)
    for source in rule.from_ or ():
        terms += _terms(source.source or Source(), _SOURCES, domains)
    for term in terms:
        for values in filter(None, (term.values, term.not_values)):
            try:
                _alternatives(term.attribute, values, place, _PERMISSIONS if _is_of_request(term) else _PRINCIPALS)
            except Unfit as error:
                yield f"{term.name}: {error}"


def never() -> rbac_pb2.Policy:
    """What a policy without rules is: it meets nothing."""
    nothing = Permission(not_rule=Permission(any=True))
    nobody = Principal(not_id=Principal(any=True))
    return rbac_pb2.Policy(permissions=[nothing], principals=[nobody])


def has_spellings(rule: Rule) -> bool:
    """Whether it names hosts, methods or values of headers, which can be written in more than one way."""
    operations = [item.operation for item in rule.to or () if item.operation is not None]
    return any(text != "*" for one in operations for text in (*one.hosts, *one.methods)) or any(
        attributes.is_header(item.key) and any(text != "*" for text in item.values) for item in rule.when
    )


def looks_at_hosts(rule: Rule) -> bool:
    """Whether the host that is called matters to it."""
    return any(item.operation and (item.operation.hosts or item.operation.not_hosts) for item in rule.to or ())


def _is_of_request(term: Term) -> bool:
    return term.attribute is None or term.attribute.of_request


def _terms(said: Source | Operation, fields: Iterable[tuple[str, Attribute]], domains: Sequence[str]) -> list[Term]:
    return [
        _aliased(Term(_field(said, name), attribute, getattr(said, name), getattr(said, f"not_{name}")), domains)
        for name, attribute in fields
    ]


def _field(said: Source | Operation, name: str) -> str:
    """As policies spell it."""
    return type(said).model_fields[name].alias or name


def _condition(condition: Condition, domains: Sequence[str]) -> Term:
    try:
        attribute = attributes.attribute_of(condition.key)
    except Unfit:
        return Term(condition.key, None, condition.values, condition.not_values)
    return _aliased(Term(condition.key, attribute, condition.values, condition.not_values), domains)


def _aliased(term: Term, domains: Sequence[str]) -> Term:
    expand = _ALIASED.get(term.attribute) if term.attribute is not None else None
    if expand is None:
        return term
    return Term(term.name, term.attribute, expand(term.values, domains), expand(term.not_values, domains))


class _Words(NamedTuple):
    """How Envoy says any, one of and none of."""

    any: Any
    one_of: Callable[[list[Any]], Any]
    none_of: Callable[[Any], Any]


_PERMISSIONS = _Words(
    Permission(any=True),
    lambda found: Permission(or_rules=Permission.Set(rules=found)),
    lambda one: Permission(not_rule=one),
)
_PRINCIPALS = _Words(
    Principal(any=True),
    lambda found: Principal(or_ids=Principal.Set(ids=found)),
    lambda one: Principal(not_id=one),
)


def _conjunction(terms: Iterable[Term], action: Action, place: Place, words: _Words) -> list[Any]:
    found: list[Any] = []
    for term in terms:
        for values, is_negative in ((term.values, False), (term.not_values, True)):
            if not values:
                continue
            try:
                one = _alternatives(term.attribute, values, _read_at(place, action, is_negative=is_negative), words)
            except Unfit:
                if action is Action.ALLOW:
                    raise
                continue
            found.append(words.none_of(one) if is_negative else one)
    return found or [words.any]


def _read_at(place: Place, action: Action, *, is_negative: bool) -> Place:
    """Who is not to be allowed at a gRPC library is met in every spelling: nothing else sees to those there."""
    if place.callers is not None and is_negative and action is Action.ALLOW:
        return replace(place, wide=True)
    return place


def _alternatives(attribute: Attribute | None, values: tuple[str, ...], place: Place, words: _Words) -> Any:
    if attribute is None:
        raise Unfit("it is no attribute")
    made = attribute.terms(values, place)
    return made[0] if attribute.at_once else words.one_of(made)
