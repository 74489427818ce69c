"""Parameters of Mixer's adapters: as kinds of their own, and as `params` of a handler.

Typed is what decides about requests; what an adapter takes besides is kept as it came.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from meshcore.model.base import AnyDuration, Bool, Double, Int32, StatusObject
from meshcore.model.cluster import OpenModel


class RpcStatus(OpenModel):
    """A gRPC status."""

    code: Int32 = 0
    message: str = ""


class DenierParams(OpenModel):
    """The answer that everybody gets."""

    status: RpcStatus | None = None
    valid_duration: AnyDuration | None = None
    valid_use_count: Int32 = 0


class ListEntryType(StrEnum):
    """How entries are compared."""

    STRINGS = "STRINGS"
    CASE_INSENSITIVE_STRINGS = "CASE_INSENSITIVE_STRINGS"
    IP_ADDRESSES = "IP_ADDRESSES"
    REGEX = "REGEX"


class ListParams(OpenModel):
    """A list, fetched or written here, of what is allowed or (`blacklist`) refused."""

    provider_url: str = ""
    refresh_interval: AnyDuration | None = None
    ttl: AnyDuration | None = None
    caching_interval: AnyDuration | None = None
    caching_use_count: Int32 = 0
    overrides: tuple[str, ...] = ()
    entry_type: ListEntryType = ListEntryType.STRINGS
    blacklist: Bool = False


class QuotaOverride(OpenModel):
    """Another amount for some dimensions."""

    dimensions: Mapping[str, str] = {}
    max_amount: Annotated[int, Field(ge=0)] = 0
    valid_duration: AnyDuration | None = None


class QuotaLimit(OpenModel):
    """So much in so much time."""

    name: Annotated[str, Field(min_length=1)]
    max_amount: Annotated[int, Field(ge=0)] = 0
    valid_duration: AnyDuration | None = None
    overrides: tuple[QuotaOverride, ...] = ()


class MemQuotaParams(OpenModel):
    """Quotas counted in memory."""

    quotas: tuple[QuotaLimit, ...] = ()
    min_deduplication_duration: AnyDuration | None = None


class RateLimitAlgorithm(StrEnum):
    """How time is divided."""

    FIXED_WINDOW = "FIXED_WINDOW"
    ROLLING_WINDOW = "ROLLING_WINDOW"


class RedisQuotaLimit(QuotaLimit):
    """A quota in Redis."""

    bucket_duration: AnyDuration | None = None
    rate_limit_algorithm: RateLimitAlgorithm = RateLimitAlgorithm.FIXED_WINDOW


class RedisQuotaParams(OpenModel):
    """Quotas counted in Redis."""

    quotas: tuple[RedisQuotaLimit, ...] = ()
    redis_server_url: str = ""
    connection_pool_size: int = 0


class MetricKind(StrEnum):
    """What a metric counts."""

    UNSPECIFIED = "UNSPECIFIED"
    GAUGE = "GAUGE"
    COUNTER = "COUNTER"
    DISTRIBUTION = "DISTRIBUTION"


class PrometheusMetric(OpenModel):
    """One metric."""

    namespace: str = ""
    name: str = ""
    instance_name: str = ""
    description: str = ""
    kind: MetricKind = MetricKind.UNSPECIFIED
    label_names: tuple[str, ...] = ()


class PrometheusParams(OpenModel):
    """Metrics that are scraped."""

    metrics: tuple[PrometheusMetric, ...] = ()


class StdioParams(OpenModel):
    """Logs and metrics as lines."""

    output_as_json: Bool = False
    output_path: str = ""
    severity_levels: Mapping[str, str] = {}


class FluentdParams(OpenModel):
    """Logs to fluentd."""

    address: str = ""


class OpaParams(OpenModel):
    """Rego policies, and the query that decides."""

    policy: tuple[str, ...] = ()
    check_method: str = ""
    fail_close: Bool = False


class StatsdParams(OpenModel):
    """Metrics to statsd."""

    address: str = ""
    prefix: str = ""
    flush_duration: AnyDuration | None = None
    flush_bytes: Int32 = 0
    sampling_rate: Double = 0.0


class ZipkinParams(OpenModel):
    """Spans to Zipkin."""

    url: str = ""
    sample_probability: Annotated[Double, Field(ge=0, le=1)] = 0.0


class Denier(StatusObject):
    """Refuse."""

    spec: DenierParams = DenierParams()


class ListChecker(StatusObject):
    """Allow or refuse by a list."""

    spec: ListParams = ListParams()


class MemQuota(StatusObject):
    """Count in memory."""

    spec: MemQuotaParams = MemQuotaParams()


class RedisQuota(StatusObject):
    """Count in Redis."""

    spec: RedisQuotaParams = RedisQuotaParams()


class Prometheus(StatusObject):
    """Metrics for Prometheus."""

    spec: PrometheusParams = PrometheusParams()


class Stdio(StatusObject):
    """Lines of log."""

    spec: StdioParams = StdioParams()


class Fluentd(StatusObject):
    """Logs for fluentd."""

    spec: FluentdParams = FluentdParams()


class Opa(StatusObject):
    """Ask OPA."""

    spec: OpaParams = OpaParams()


class Statsd(StatusObject):
    """Metrics for statsd."""

    spec: StatsdParams = StatsdParams()


class Zipkin(StatusObject):
    """Spans for Zipkin."""

    spec: ZipkinParams = ZipkinParams()


class Untyped(StatusObject):
    """An adapter or template whose parameters are kept as they came."""

    spec: Mapping[str, Any] = {}


PARAMETERS: Mapping[str, type[OpenModel]] = {
    "denier": DenierParams,
    "listchecker": ListParams,
    "memquota": MemQuotaParams,
    "redisquota": RedisQuotaParams,
    "prometheus": PrometheusParams,
    "stdio": StdioParams,
    "fluentd": FluentdParams,
    "opa": OpaParams,
    "statsd": StatsdParams,
    "zipkin": ZipkinParams,
}
"""The parameters themselves, by `compiledAdapter`."""
