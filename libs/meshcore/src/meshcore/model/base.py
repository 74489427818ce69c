"""What all kinds share: the frozen base, scalar types, object metadata.

Scalars are strict, as in a CRD schema: `"5"` is not a number and `yes` in quotes is not a boolean.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from meshcore.durations import format_duration, parse_duration
from meshcore.model.cel import (
    NO_EMPTY_KEY,
    NO_WILDCARD_KEY,
    NO_WILDCARD_SELECTOR,
    NO_WILDCARD_VALUE,
    PORT_RANGE,
    POSITIVE_DURATION,
    Cel,
    add_rules,
    max_length,
    max_properties,
)

UINT32_MAX = 4294967295
ONE_OF = "x-one-of"
"""Key of a JSON schema under which the groups of `MeshModel.one_of` stand, in JSON names."""

Bool = Annotated[bool, Strict()]
Int32 = Annotated[
    int, Strict(), Field(ge=-(2**31), le=2**31 - 1), WithJsonSchema({"type": "integer", "format": "int32"})
]
UInt32 = Annotated[int, Strict(), Field(ge=0, le=UINT32_MAX)]
UInt64 = Annotated[int, Strict(), Field(ge=0)]
Double = Annotated[float, Strict(), Field(allow_inf_nan=False)]
IntOrString = Annotated[int, Strict()] | str
Labels = Mapping[str, str]
AnyDuration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""A length of time, written as Go does: `1.5s`, `100ms`, `1h30m`."""
Duration = Annotated[AnyDuration, POSITIVE_DURATION]
"""A length of time of at least a millisecond (which `broken_rules` sees to)."""
PortNumber = Annotated[UInt32, PORT_RANGE]
PolicyLabels = Annotated[
    Mapping[str, Annotated[str, max_length(63), NO_WILDCARD_VALUE]],
    max_properties(4096),
    NO_WILDCARD_KEY,
    NO_EMPTY_KEY,
]
"""Labels of a policy's selector (type/v1beta1)."""
SelectorLabels = Annotated[Mapping[str, Annotated[str, max_length(63), NO_WILDCARD_SELECTOR]], max_properties(256)]
"""Labels of a networking selector."""


class MeshModel(BaseModel):
    """A frozen message; unknown fields are errors (`parse_object` decides what becomes of them)."""

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of attributes of which at most one may be set (a proto oneof)."""
    cel: ClassVar[tuple[Cel, ...]] = ()
    """Rules on the message as a whole; a rule on one field stands in its annotation."""

    @model_validator(mode="after")
    def _check_one_of(self) -> Self:
        for group in self.one_of:
            if sum(1 for name in group if getattr(self, name) is not None) > 1:
                raise ValueError(f"at most one of {', '.join(to_camel(name) for name in group)} may be set")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        own = handler.resolve_ref_schema(schema)
        if cls.cel:
            add_rules(own, cls.cel)
        if cls.one_of:
            own[ONE_OF] = [[cls.model_fields[name].alias or name for name in group] for group in cls.one_of]
        return schema


class ManagedObject(BaseModel):
    """A part of object metadata that is kept as it came."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ObjectMeta(MeshModel):
    """Kubernetes object metadata (meta/v1 ObjectMeta)."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    labels: Labels = {}
    annotations: Mapping[str, str] = {}
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[ManagedObject, ...] = ()
    managed_fields: tuple[ManagedObject, ...] = ()
    self_link: str = ""


class MeshObject(MeshModel):
    """A Kubernetes-shaped object: type, metadata, and what its kind adds."""

    api_version: str
    kind: str
    metadata: ObjectMeta

    @property
    def namespaced_name(self) -> tuple[str, str]:
        """(namespace, name)."""
        return self.metadata.namespace, self.metadata.name


class StatusObject(MeshObject):
    """An object with a status that somebody else writes."""

    status: Mapping[str, Any] | None = None


class WorkloadSelector(MeshModel):
    """Selects workloads by labels (networking API)."""

    labels: SelectorLabels = {}


class PortSelector(MeshModel):
    """A port by its number."""

    number: UInt32 = 0
