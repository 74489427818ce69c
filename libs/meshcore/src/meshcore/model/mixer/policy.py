"""handler, instance, rule, attributemanifest, adapter, template: what is asked of whom, and when (policy/v1beta1)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from meshcore.model.base import AnyDuration, MeshModel, StatusObject, UInt32

GROUP = "config.istio.io"


class Connection(MeshModel):
    """Where an adapter that is a process of its own listens."""

    address: str = ""


class HandlerSpec(MeshModel):
    """An adapter with its parameters; what those are is the adapter's to say."""

    name: str = ""
    compiled_adapter: str | None = None
    adapter: str | None = None
    params: Mapping[str, Any] = {}
    connection: Connection | None = None
    one_of = (("compiled_adapter", "adapter"),)


class Handler(StatusObject):
    """An adapter that is ready for use."""

    spec: HandlerSpec


class InstanceSpec(MeshModel):
    """A template with expressions for its fields, and attributes made from an adapter's answer."""

    name: str = ""
    compiled_template: str | None = None
    template: str | None = None
    params: Mapping[str, Any] = {}
    attribute_bindings: Mapping[str, str] = {}
    one_of = (("compiled_template", "template"),)


class Instance(StatusObject):
    """What a handler is told of a request."""

    spec: InstanceSpec


class Action(MeshModel):
    """A handler and what it is told."""

    handler: str
    instances: Annotated[tuple[str, ...], Field(min_length=1)]
    name: str = ""


class HeaderOperationType(StrEnum):
    """What is done to a header."""

    REPLACE = "REPLACE"
    REMOVE = "REMOVE"
    APPEND = "APPEND"


class HeaderOperation(MeshModel):
    """A change of a header, with expressions for values."""

    name: Annotated[str, Field(min_length=1)]
    values: tuple[str, ...] = ()
    operation: HeaderOperationType = HeaderOperationType.REPLACE


class Denominator(StrEnum):
    """Of how many."""

    HUNDRED = "HUNDRED"
    TEN_THOUSAND = "TEN_THOUSAND"


class FractionalPercent(MeshModel):
    """A share of the requests."""

    numerator: UInt32 = 0
    denominator: Denominator = Denominator.HUNDRED


class RandomSampling(MeshModel):
    """Some requests by chance."""

    attribute_expression: str = ""
    percent_sampled: FractionalPercent | None = None
    use_independent_randomness: bool = False


class RateLimitSampling(MeshModel):
    """So many requests in so much time."""

    sampling_duration: AnyDuration | None = None
    max_unsampled_entries: int = 0
    sampling_rate: int = 0


class Sampling(MeshModel):
    """For which requests the actions are executed."""

    random: RandomSampling | None = None
    rate_limit: RateLimitSampling | None = None


class RuleSpec(MeshModel):
    """Actions for the requests that match; an empty expression matches all."""

    match: str = ""
    actions: tuple[Action, ...] = ()
    request_header_operations: tuple[HeaderOperation, ...] = ()
    response_header_operations: tuple[HeaderOperation, ...] = ()
    sampling: Sampling | None = None


class Rule(StatusObject):
    """When which handler is asked."""

    spec: RuleSpec = RuleSpec()


class ValueType(StrEnum):
    """The type of an attribute."""

    VALUE_TYPE_UNSPECIFIED = "VALUE_TYPE_UNSPECIFIED"
    STRING = "STRING"
    INT64 = "INT64"
    DOUBLE = "DOUBLE"
    BOOL = "BOOL"
    TIMESTAMP = "TIMESTAMP"
    IP_ADDRESS = "IP_ADDRESS"
    EMAIL_ADDRESS = "EMAIL_ADDRESS"
    URI = "URI"
    DNS_NAME = "DNS_NAME"
    DURATION = "DURATION"
    STRING_MAP = "STRING_MAP"


class AttributeInfo(MeshModel):
    """One attribute."""

    description: str = ""
    value_type: ValueType


class AttributeManifestSpec(MeshModel):
    """Attributes that a component makes."""

    revision: str = ""
    name: str = ""
    attributes: Mapping[str, AttributeInfo] = {}


class AttributeManifest(StatusObject):
    """Attributes by name, with their types."""

    spec: AttributeManifestSpec = AttributeManifestSpec()


class AdapterInfoSpec(MeshModel):
    """An adapter that is a process of its own; `config` is the descriptor of its parameters in base64."""

    name: str = ""
    description: str = ""
    templates: tuple[str, ...] = ()
    config: str = ""
    session_based: bool = False


class AdapterInfo(StatusObject):
    """An adapter that handlers may name."""

    spec: AdapterInfoSpec = AdapterInfoSpec()


class TemplateInfoSpec(MeshModel):
    """A template's descriptor in base64."""

    descriptor: str = ""


class TemplateInfo(StatusObject):
    """A template that instances may name."""

    spec: TemplateInfoSpec = TemplateInfoSpec()


class BoundService(MeshModel):
    """A service that a spec is bound to."""

    name: str = ""
    namespace: str = ""
    domain: str = ""
    service: str = ""
    labels: Mapping[str, str] = {}


class SpecReference(MeshModel):
    """The spec that is bound."""

    name: Annotated[str, Field(min_length=1)]
    namespace: str = ""


class AttributeMatch(MeshModel):
    """Attributes by name: `exact`, `prefix` or `regex`."""

    clause: Mapping[str, Mapping[str, str]] = {}


class Quota(MeshModel):
    """A quota and how much of it a request takes."""

    quota: Annotated[str, Field(min_length=1)]
    charge: int = 1


class QuotaRule(MeshModel):
    """Quotas of the requests that match."""

    match: tuple[AttributeMatch, ...] = ()
    quotas: Annotated[tuple[Quota, ...], Field(min_length=1)]


class QuotaSpecSpec(MeshModel):
    """Rules."""

    rules: tuple[QuotaRule, ...] = ()


class QuotaSpec(StatusObject):
    """Which quotas requests take from."""

    spec: QuotaSpecSpec = QuotaSpecSpec()


class QuotaBindingSpec(MeshModel):
    """Services and QuotaSpecs."""

    services: Annotated[tuple[BoundService, ...], Field(min_length=1)]
    quota_specs: Annotated[tuple[SpecReference, ...], Field(min_length=1)]


class QuotaSpecBinding(StatusObject):
    """For which services QuotaSpecs hold."""

    spec: QuotaBindingSpec


class ApiPattern(MeshModel):
    """A method and a path, and the attributes of requests to them."""

    attributes: Mapping[str, Any] = {}
    http_method: str = ""
    uri_template: str | None = None
    regex: str | None = None
    one_of = (("uri_template", "regex"),)


class ApiKey(MeshModel):
    """Where a request carries its key."""

    query: str | None = None
    header: str | None = None
    cookie: str | None = None
    one_of = (("query", "header", "cookie"),)


class HttpApiSpecSpec(MeshModel):
    """Operations of an API."""

    attributes: Mapping[str, Any] = {}
    patterns: tuple[ApiPattern, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()


class HttpApiSpec(StatusObject):
    """An API: its operations, and where its keys are."""

    spec: HttpApiSpecSpec = HttpApiSpecSpec()


class ApiBindingSpec(MeshModel):
    """Services and APIs."""

    services: Annotated[tuple[BoundService, ...], Field(min_length=1)]
    api_specs: Annotated[tuple[SpecReference, ...], Field(min_length=1)]


class HttpApiSpecBinding(StatusObject):
    """Which services serve which APIs."""

    spec: ApiBindingSpec
