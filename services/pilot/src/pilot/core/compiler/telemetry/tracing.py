"""Tracing of HTTP connection managers: sampling and tags from Telemetry and the mesh config. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.type.metadata.v3 import metadata_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from meshcore.model.default_proxy_config import ProxyTracing
from meshcore.model.telemetry import CustomTag
from meshcore.xds import wire

from pilot.core.compiler.context import Compilation
from pilot.core.compiler.listener_sides import Side
from pilot.core.compiler.messages import any_of, boolean, uint32
from pilot.core.compiler.peer_names import own_names
from pilot.core.compiler.telemetry.peer_words import format_with_peers
from pilot.core.compiler.telemetry.scope import Scope, is_meant
from pilot.core.compiler.telemetry.tracers import Tracer, tracer_of

DEFAULT_SAMPLING = 1.0
"""Per cent (Istio's PILOT_TRACE_SAMPLING)."""
_MAX_PATH_TAG = 256
_NO_CONTEXT_PROPAGATION = 13
"""A field of Envoy 1.40's `Tracing` that the Python messages do not have yet; as an unknown one it is kept."""
_RBAC = "envoy.filters.http.rbac"
_DRY_RUN_TAGS = {
    "istio.authorization.dry_run.allow_policy.name": "istio_dry_run_allow_shadow_effective_policy_id",
    "istio.authorization.dry_run.allow_policy.result": "istio_dry_run_allow_shadow_engine_result",
    "istio.authorization.dry_run.deny_policy.name": "istio_dry_run_deny_shadow_effective_policy_id",
    "istio.authorization.dry_run.deny_policy.result": "istio_dry_run_deny_shadow_engine_result",
}
_Manager = http_connection_manager_pb2.HttpConnectionManager
_Tag = custom_tag_pb2.CustomTag


@dataclass
class Asked:
    """What holds on one side: lower levels lay single fields over those above."""

    providers: tuple[str, ...] = ()
    """None: the tracer that the proxy was started with (`defaultConfig.tracing`), if there is one."""
    tag_length: int = 0
    """Of the path; 0: as the tracer has it."""
    sampling: float | None = None
    reports: bool = True
    propagates: bool = True
    samples_by_request_id: bool | None = None
    """None: as suits the tracer."""
    names_workload: bool = True
    """Whether spans have Istio's own tags."""
    tags: dict[str, CustomTag] = field(default_factory=dict)


def asked_tracing(scope: Scope, side: Side) -> Asked | None:
    """None when nothing is traced."""
    mesh = scope.mesh
    asked = Asked(providers=tuple(mesh.default_providers.tracing) if mesh.enable_tracing else ())
    legacy = mesh.default_config.tracing
    if legacy is not None:
        asked.sampling = legacy.sampling or None
        asked.tag_length = legacy.max_path_tag_length
        asked.tags = dict(_mesh_tags(legacy))
        asked.names_workload = legacy.enable_istio_tags is not False
    for block in scope.tracing:
        if not is_meant(block.match, side):
            continue
        asked.providers = tuple(ref.name for ref in block.providers) or asked.providers
        if block.random_sampling_percentage is not None:
            asked.sampling = block.random_sampling_percentage
        if block.disable_span_reporting is not None:
            asked.reports = not block.disable_span_reporting
        if block.disable_context_propagation is not None:
            asked.propagates = not block.disable_context_propagation
        if block.use_request_id_for_trace_sampling is not None:
            asked.samples_by_request_id = block.use_request_id_for_trace_sampling
        if block.enable_istio_tags is not None:
            asked.names_workload = block.enable_istio_tags
        if block.custom_tags:
            asked.tags = dict(block.custom_tags)
    return asked if asked.reports and (asked.providers or mesh.enable_tracing) else None


def _mesh_tags(legacy: ProxyTracing) -> Iterator[tuple[str, CustomTag]]:
    """Those of the mesh config, which may be empty where Telemetry's may not."""
    for name, tag in legacy.custom_tags.items():
        chosen = tag.literal or tag.environment or tag.header
        if chosen is not None and any((getattr(chosen, "value", ""), getattr(chosen, "name", ""))):
            yield name, CustomTag.model_validate(tag.model_dump(by_alias=True, exclude_none=True))


def trace(work: Compilation, scope: Scope, asked: Asked, manager: Any) -> None:
    """Have a connection manager trace; as it was where there is no tracer."""
    tracer = Tracer(None)
    if asked.providers:
        provider = scope.provider(asked.providers[0])
        tracer = tracer_of(work, provider) if provider is not None else tracer
        if tracer.config is None:
            return
    made = manager.tracing
    made.Clear()
    if tracer.config is not None:
        made.provider.CopyFrom(tracer.config)
    made.max_path_tag_length.CopyFrom(uint32(tracer.tag_length or asked.tag_length or _MAX_PATH_TAG))
    made.client_sampling.value = 100.0
    made.overall_sampling.value = 100.0
    made.random_sampling.value = DEFAULT_SAMPLING if asked.sampling is None else asked.sampling
    if not asked.propagates:
        made.MergeFromString(wire.varint(_NO_CONTEXT_PROPAGATION << 3) + wire.varint(1))
    tags = {tag.tag: tag for tag in _istio_tags(work)} if asked.names_workload else {}
    tags |= {name: _tag(name, asked.tags[name]) for name in asked.tags}
    made.custom_tags.extend(tags[name] for name in sorted(tags))
    by_id = tracer.samples_by_request_id if asked.samples_by_request_id is None else asked.samples_by_request_id
    if not by_id:
        extension = uuid_pb2.UuidRequestIdConfig(use_request_id_for_trace_sampling=boolean(False))
        manager.request_id_extension.typed_config.CopyFrom(any_of(extension))


def missing_tracer(work: Compilation, scope: Scope, asked: Asked) -> Iterator[tuple[str, str]]:
    """The provider's name and why it cannot be had."""
    if not asked.providers:
        return
    name = asked.providers[0]
    provider = scope.provider(name)
    if provider is None:
        yield name, "no extension provider of the mesh config has that name"
    elif (tracer := tracer_of(work, provider)).config is None:
        yield name, tracer.reason


def _istio_tags(work: Compilation) -> Iterator[custom_tag_pb2.CustomTag]:
    """Whose span it is, and what policies on trial would have said."""
    own, mesh = own_names(work.proxy_class), work.mesh
    named = {
        "istio.canonical_service": own.canonical_service,
        "istio.canonical_revision": own.canonical_revision,
        "istio.mesh_id": mesh.default_config.mesh_id or mesh.trust_domain,
        "istio.namespace": own.namespace,
        "istio.cluster_id": own.cluster,
    }
    for name, value in named.items():
        yield _Tag(tag=name, literal=_Tag.Literal(value=value or "unknown"))
    for name, key in _DRY_RUN_TAGS.items():
        found = metadata_pb2.MetadataKey(key=_RBAC)
        found.path.add(key=key)
        kind = metadata_pb2.MetadataKind(request=metadata_pb2.MetadataKind.Request())
        yield _Tag(tag=name, metadata=_Tag.Metadata(kind=kind, metadata_key=found))


def _tag(name: str, tag: CustomTag) -> custom_tag_pb2.CustomTag:
    made = _Tag(tag=name)
    if tag.environment is not None:
        made.environment.name = tag.environment.name
        made.environment.default_value = tag.environment.default_value
    elif tag.header is not None:
        made.request_header.name = tag.header.name
        made.request_header.default_value = tag.header.default_value
    elif tag.formatter is not None:
        made.value = format_with_peers(tag.formatter.value)
    else:
        made.literal.value = tag.literal.value if tag.literal is not None else "-"
    return made
