"""Values that Envoy compares by regular expressions, which it takes up to a size only.

Which they are is Pilot's translation: a namespace always, a principal with `*` before it, and hosts and headers where a
rule denies or asks, because such a rule meets every spelling. Envoy would refuse the whole listener for one of them.
"""

from meshcore.model.authorization_policy import Action

from galley.core.rules.report import Report

MOST = 4096
"""Characters; each is a handful of instructions of RE2, of which Envoy takes 32,768."""
_ALWAYS = frozenset(("principals", "namespaces", "trust_domains", "service_accounts"))
_ALWAYS_IN_WHEN = frozenset(("source.principal", "source.namespace", "source.trustDomain", "source.serviceAccount"))
_IN_EVERY_SPELLING = (Action.DENY, Action.CUSTOM)


def check_length(report: Report, path: str, name: str, value: str, action: Action) -> None:
    """Of a value of an attribute: the name of its field without `not_`, or the key of a condition."""
    by_spelling = name == "hosts" or name.startswith("request.headers[")
    is_expression = name in _ALWAYS or name in _ALWAYS_IN_WHEN or (by_spelling and action in _IN_EVERY_SPELLING)
    if is_expression and len(value) > MOST:
        report.error(path, f"{len(value)} characters", f"at most {MOST} characters")
