"""Whether the policies of a filter chain let a request in, and which rule says so, for the simulator. Pure.

The filters are asked in their order, as Envoy does: the first that denies decides. What an external authorizer would
say is not known, and neither is a token's verdict: claims are what the question says they are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from meshcore.xds import registry
from meshcore.xds.origin import ConfigRef

from pilot.core.compiler.filter_order import CUSTOM_REFUSED, CUSTOM_SHADOW
from pilot.core.simulation.normal_paths import normal_path
from pilot.core.simulation.rbac_terms import Asked, unmet

_RULE = re.compile(
    r"(?:istio-ext-authz-(?P<provider>.+)-)?ns\[(?P<ns>[^\]]*)\]-policy\[(?P<name>[^\]]*)\]-rule\[(?P<i>\d+)\]"
)
_ALLOW, _DENY, _LOG = 0, 1, 2


class Decision(StrEnum):
    """What comes of it."""

    ALLOWED = "allowed"
    DENIED = "denied"
    ASKED = "asked"
    """An external authorizer decides."""


@dataclass(frozen=True)
class NearMiss:
    """A rule that would have let the request in, and the first of its conditions that does not hold."""

    rule: str
    why: str
    config: ConfigRef


@dataclass(frozen=True)
class Admission:
    """`rule` is the deciding one (`NAMESPACE/NAME rule N`), empty when nothing of a policy decided."""

    decision: Decision = Decision.ALLOWED
    why: str = "no policy counts for this workload"
    rule: str = ""
    configs: tuple[ConfigRef, ...] = ()
    misses: tuple[NearMiss, ...] = ()
    notes: tuple[str, ...] = ()
    """What policies that run dry, or only log, would have done."""

    @property
    def denied(self) -> bool:
        """Whether it is refused for certain."""
        return self.decision is Decision.DENIED


def admission(chain: Any, asked: Asked) -> Admission:
    """What the filters of a chain say."""
    seen, filters = _filters(chain, asked)
    found = Admission()
    notes: list[str] = []
    for config in filters:
        notes += _shadow(config, seen)
        made = _enforced(config, seen)
        if made is not None:
            # What an authorizer is asked stands until a rule denies: who it lets in must pass the others too.
            found = made if made.denied or found.decision is not Decision.ASKED else _asked_too(found, made)
        if found.denied:
            break
    return replace(found, notes=tuple(notes))


def _enforced(config: Any, asked: Asked) -> Admission | None:
    """What one RBAC filter says; None when it says nothing of this request."""
    if config.shadow_rules_stat_prefix == CUSTOM_SHADOW:
        return _custom(config.shadow_rules, asked)
    if not config.HasField("rules") or config.rules.action == _LOG:
        return None
    rules = config.rules
    matching = _matching(rules, asked)
    if rules.action == _DENY:
        if matching:
            return _decided(Decision.DENIED, matching, "denies it")
        return Admission(Decision.ALLOWED, "no rule denies it", configs=_configs(rules))
    if matching:
        return _decided(Decision.ALLOWED, matching, "allows it")
    missed = tuple(_misses(rules, asked))
    text = "no ALLOW rule matches" if missed else "there is an ALLOW policy, and none of its rules can match here"
    return Admission(Decision.DENIED, text, configs=_configs(rules), misses=missed)


def _filters(chain: Any, asked: Asked) -> tuple[Asked, list[Any]]:
    """The RBAC filters, and the request as they see it; ext_authz asks what one of them has marked."""
    last: Any = registry.unpack(chain.filters[-1].typed_config)
    is_http = last is not None and last.DESCRIPTOR.name == "HttpConnectionManager"
    filters = last.http_filters if is_http else chain.filters
    seen = replace(asked, is_http=is_http)
    if is_http:
        host, colon, port = asked.host.partition(":")
        host = host.removesuffix(".") if last.strip_trailing_host_dot else host
        seen = replace(seen, path=normal_path(last, asked.path), host=host + colon + port)
    return seen, [registry.unpack(item.typed_config) for item in filters if item.name.endswith(".rbac")]


def _matching(rules: Any, asked: Asked) -> str:
    """The first rule, by name, that matches."""
    for name in sorted(rules.policies):
        if not _reasons(rules.policies[name], asked):
            return str(name)
    return ""


def _reasons(policy: Any, asked: Asked) -> list[str]:
    """Why a rule does not match: what is asked for, then who asks."""
    found = []
    for terms in (policy.permissions, policy.principals):
        missed = [unmet(term, asked) for term in terms]
        if all(missed):
            found.append(missed[0] if missed else "nothing is meant")
    return found


def _misses(rules: Any, asked: Asked) -> Iterator[NearMiss]:
    """The nearest first: those of which a single half does not hold."""
    reasons = {name: _reasons(rules.policies[name], asked) for name in sorted(rules.policies)}
    for name in sorted(reasons, key=lambda name: len(reasons[name])):
        yield NearMiss(_label(name), " and ".join(reasons[name]), _ref(name))


def _custom(rules: Any, asked: Asked) -> Admission | None:
    name = _matching(rules, asked)
    if not name:
        return None
    found = _RULE.match(name)
    provider = found["provider"] if found is not None else ""
    return Admission(Decision.ASKED, f"{_label(name)} asks the provider {provider}", _label(name), (_ref(name),))


def _asked_too(found: Admission, made: Admission) -> Admission:
    """Where one authorizer is asked, and perhaps another: both must let in."""
    if made.decision is not Decision.ASKED or made.rule == found.rule:
        return found
    return replace(
        found, why=f"{found.why}, and {made.why}", configs=tuple(dict.fromkeys((*found.configs, *made.configs)))
    )


def _shadow(config: Any, asked: Asked) -> Iterator[str]:
    """What runs dry, or only logs."""
    if config.HasField("rules") and config.rules.action == _LOG and (name := _matching(config.rules, asked)):
        yield f"{_label(name)} logs it"
    if not config.HasField("shadow_rules") or config.shadow_rules_stat_prefix == CUSTOM_SHADOW:
        return
    rules = config.shadow_rules
    name = _matching(rules, asked)
    if rules.action == _DENY and name:
        yield f"dry run: {_label(name)} would deny it"
    elif rules.action == _ALLOW:
        yield f"dry run: {_label(name)} would allow it" if name else "dry run: no ALLOW rule would match"


def _decided(decision: Decision, name: str, does: str) -> Admission:
    bad = ", because its provider cannot be asked" if name.endswith(CUSTOM_REFUSED) else ""
    return Admission(decision, f"{_label(name)} {does}{bad}", _label(name), (_ref(name),))


def _configs(rules: Any) -> tuple[ConfigRef, ...]:
    return tuple(dict.fromkeys(_ref(name) for name in sorted(rules.policies)))


def _ref(name: str) -> ConfigRef:
    found = _RULE.match(name)
    return ConfigRef("AuthorizationPolicy", found["ns"], found["name"]) if found else ConfigRef("", "", name)


def _label(name: str) -> str:
    """`NAMESPACE/NAME rule N`, from 0."""
    found = _RULE.match(name)
    return f"{found['ns']}/{found['name']} rule {found['i']}" if found else name
