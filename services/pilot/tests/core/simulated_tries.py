"""How often a request is tried and what comes of it at last: retries and limits of time as Envoy has them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from simulated_application import Reply
from simulated_endpoints import Chosen

_GATEWAY_ERRORS = (502, 503, 504)
_GRPC = {"cancelled": 1, "deadline-exceeded": 4, "resource-exhausted": 8, "internal": 13, "unavailable": 14}


@dataclass(frozen=True)
class Tried:
    """The last try of a request: at which endpoint, what came, and how often applications were asked, by endpoint."""

    weight: float
    chosen: Chosen
    reply: Reply
    asked: tuple[str, ...]
    timed_out: bool = False


@dataclass(frozen=True)
class Rules:
    """What a route says of tries; `may_retry` is False when the cluster allows no more retries at the moment."""

    policy: Any = None
    timeout: float = 0.0
    connect_timeout: float = 0.0
    may_retry: bool = True

    @property
    def retries(self) -> int:
        """How often at most."""
        if self.policy is None or not self.may_retry:
            return 0
        return self.policy.num_retries.value if self.policy.HasField("num_retries") else 1


def rules_of(route: Any, cluster: Any, retried_meanwhile: int) -> Rules:
    """Of a route to a cluster at which so many retries are under way."""
    action = route.route
    policy = action.retry_policy if action.HasField("retry_policy") else None
    limits = cluster.circuit_breakers.thresholds
    most = limits[0].max_retries.value if limits and limits[0].HasField("max_retries") else 3
    return Rules(
        policy,
        action.timeout.ToTimedelta().total_seconds() if action.HasField("timeout") else 15.0,
        cluster.connect_timeout.ToTimedelta().total_seconds(),
        retried_meanwhile < most,
    )


def tries(
    choose: Callable[[frozenset[int]], list[Chosen]], ask: Callable[[Chosen, int], Reply], rules: Rules
) -> Iterator[Tried]:
    """Every way that it may go, with its weight. `choose` gives who may be next when those priorities are passed over,
    `ask` what an endpoint answers that was asked so often before."""
    yield from _next(choose, ask, rules, (), (), 0.0, 1.0)


def _next(
    choose: Callable[[frozenset[int]], list[Chosen]],
    ask: Callable[[Chosen, int], Reply],
    rules: Rules,
    before: tuple[Chosen, ...],
    asked: tuple[str, ...],
    spent: float,
    weight: float,
) -> Iterator[Tried]:
    policy = rules.policy
    passed = frozenset[int]()
    if policy is not None and policy.HasField("retry_priority"):
        passed = frozenset(item.priority for item in before[: len(before) // 2 * 2])
    found = choose(passed)
    if policy is not None and policy.retry_host_predicate:
        known = {item.address for item in before}
        others = [item for item in found if item.address not in known]
        found = others or found
    total = sum(item.share for item in found)
    for item in found:
        part = weight * item.share / total
        reply = ask(item, asked.count(item.address))
        seconds, late = reply.seconds, False
        if reply.fault == "connect" and seconds > rules.connect_timeout:
            seconds = rules.connect_timeout
        own = policy.per_try_timeout.ToTimedelta().total_seconds() if policy is not None else 0.0
        if own and seconds > own:
            seconds, late = own, True
        reached = asked if reply.fault == "connect" else (*asked, item.address)
        if rules.timeout and spent + seconds > rules.timeout:
            yield Tried(part, item, reply, reached, timed_out=True)
        elif len(before) < rules.retries and _is_tried_again(policy, reply, late):
            yield from _next(choose, ask, rules, (*before, item), reached, spent + seconds, part)
        else:
            yield Tried(part, item, reply, reached, timed_out=late)


def _is_tried_again(policy: Any, reply: Reply, late: bool) -> bool:
    words = set(policy.retry_on.split(","))
    if reply.fault == "connect":
        return bool(words & {"connect-failure", "5xx", "gateway-error", "reset"})
    if reply.fault or late:
        return bool(words & {"reset", "5xx", "gateway-error"})
    if reply.grpc_status:
        return any(_GRPC.get(word) == reply.grpc_status for word in words)
    by_code = "retriable-status-codes" in words and reply.status in policy.retriable_status_codes
    return (
        by_code
        or ("5xx" in words and reply.status >= 500)
        or ("gateway-error" in words and reply.status in _GATEWAY_ERRORS)
        or ("retriable-4xx" in words and reply.status == 409)
    )
