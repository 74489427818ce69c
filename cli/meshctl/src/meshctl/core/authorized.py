"""The verdict of policies, out of an explanation: as JSON and as text. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshctl.core.explained import Places, cited

_MOST_MISSES = 5


def check_document(explanation: Mapping[str, Any]) -> dict[str, Any]:
    """`decision` is `allowed`, `denied`, `asked` (an external authorizer decides), `mixed` (workloads differ) or
    `unreached` (the request gets to no workload for another reason, which `why` says)."""
    policies = list(explanation["policies"])
    decisions = {verdict["decision"] for verdict in policies}
    last = policies[-1]["why"] if policies else "no policy counts for the workloads that are called"
    if not explanation["works"]:
        refusing = [verdict["why"] for verdict in policies if verdict["decision"] == "denied"]
        decision, why = ("denied", refusing[0]) if refusing else ("unreached", explanation["verdict"])
    elif "denied" in decisions:
        decision, why = "mixed", "some of the workloads refuse it"
    elif "asked" in decisions:
        decision, why = "asked", next(verdict["why"] for verdict in policies if verdict["decision"] == "asked")
    else:
        decision, why = "allowed", last
    return {
        "from": explanation["from"],
        "to": explanation["to"],
        "decision": decision,
        "why": why,
        "policies": policies,
    }


def render_check(checked: Mapping[str, Any], places: Places) -> Iterator[str]:
    """Lines for people: each kind of workload with the rule that decided, or the near misses, then the verdict."""
    yield f"{checked['from']} -> {checked['to']}"
    for verdict in checked["policies"]:
        yield f"  {verdict['workload']} ({', '.join(verdict['addresses'])}): {verdict['decision']}, {verdict['why']}"
        misses = verdict["misses"]
        for miss in misses[:_MOST_MISSES]:
            yield f"{'':<6}not {miss['rule']}: {miss['why']}"
            for text in miss["configs"]:
                yield f"{'':<10}of {cited(text, places)}"
        if len(misses) > _MOST_MISSES:
            yield f"{'':<6}and {len(misses) - _MOST_MISSES} more"
        for note in verdict["notes"]:
            yield f"{'':<6}{note}"
        if not misses:
            for text in verdict["configs"]:
                yield f"{'':<6}by {cited(text, places)}"
    yield f"= {checked['decision']}: {checked['why']}"
