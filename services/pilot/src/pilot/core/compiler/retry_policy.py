"""Retries of outbound requests: Istio's default policy, and a VirtualService's own. Pure."""

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.virtual_service import HttpRetry

from pilot.core.compiler.messages import any_of, duration, uint32

_Policy = route_components_pb2.RetryPolicy
DEFAULT_ATTEMPTS = 2
DEFAULT_CONDITIONS = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
_STATUS_CODES = "retriable-status-codes"
_SELECTION_ATTEMPTS = 5


def retry_policy(
    retries: HttpRetry | None, mesh: MeshConfig, *, consistent_hash: bool
) -> route_components_pb2.RetryPolicy | None:
    """None when retries are switched off. With consistent hashing another host is the wrong one, unless asked for."""
    settings = retries or mesh.default_http_retry_policy
    if settings is None:
        return _default(consistent_hash)
    if settings.attempts <= 0:
        return None
    elsewhere = settings.retry_ignore_previous_hosts
    policy = _default(consistent_hash if elsewhere is None else not elsewhere)
    apply_conditions(policy, settings, DEFAULT_CONDITIONS, DEFAULT_ATTEMPTS)
    if settings.retry_remote_localities:
        config = previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=2)
        policy.retry_priority.name = "envoy.retry_priorities.previous_priorities"
        policy.retry_priority.typed_config.CopyFrom(any_of(config))
    return policy


def apply_conditions(
    policy: route_components_pb2.RetryPolicy, settings: HttpRetry | None, conditions: str, attempts: int
) -> None:
    """When, how often and how long; `conditions` and `attempts` hold as far as nothing is said."""
    policy.retry_on = conditions
    policy.num_retries.CopyFrom(uint32(settings.attempts if settings is not None else attempts))
    if settings is None:
        return
    if settings.retry_on:
        words, codes = _conditions(settings.retry_on)
        policy.retry_on = ",".join(words)
        policy.retriable_status_codes.extend(codes)
    if settings.per_try_timeout:
        policy.per_try_timeout.CopyFrom(duration(settings.per_try_timeout))
    if settings.backoff:
        policy.retry_back_off.base_interval.CopyFrom(duration(settings.backoff))


def _default(same_host: bool) -> route_components_pb2.RetryPolicy:
    policy = _Policy(
        retry_on=DEFAULT_CONDITIONS,
        num_retries=uint32(DEFAULT_ATTEMPTS),
        host_selection_retry_max_attempts=_SELECTION_ATTEMPTS,
    )
    if not same_host:
        policy.retry_host_predicate.add(
            name="envoy.retry_host_predicates.previous_hosts",
            typed_config=any_of(previous_hosts_pb2.PreviousHostsPredicate()),
        )
    return policy


def _conditions(text: str) -> tuple[list[str], list[int]]:
    """Numbers are status codes, and need the condition that reads them."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    codes = [int(part) for part in parts if part.isdigit()]
    words = [part for part in parts if not part.isdigit()]
    if codes and _STATUS_CODES not in words:
        words.append(_STATUS_CODES)
    return words, codes
