"""How a patch is laid over a message: as protobuf merges, with what Istio and its users expect instead of surprises.

Lists are appended to, or replaced where the operation says so; entries of maps are replaced; durations and wrapped
scalars are values, not messages; two `Any` of one type are merged inside. Pure.
"""

from typing import Any

from google.protobuf import any_pb2, duration_pb2, message

from meshcore.errors import ErrorCode, MeshError
from meshcore.xds import registry

_WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


def merge(target: message.Message, patch: message.Message, *, replace_lists: bool = False) -> None:
    """Lay `patch` over `target`; INVALID when an `Any` in it cannot be merged."""
    for field, value in patch.ListFields():
        if field.is_repeated:
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                _merge_map(getattr(target, field.name), value)
                continue
            if replace_lists:
                target.ClearField(field.name)
            getattr(target, field.name).extend(value)
        elif field.message_type is None:
            setattr(target, field.name, value)
        elif not target.HasField(field.name) or _is_value(value):
            getattr(target, field.name).CopyFrom(value)
        elif isinstance(value, any_pb2.Any):
            merge_any(getattr(target, field.name), value, replace_lists=replace_lists)
        elif not _same_extension(getattr(target, field.name), value):
            getattr(target, field.name).CopyFrom(value)
        else:
            merge(getattr(target, field.name), value, replace_lists=replace_lists)


def merge_any(target: any_pb2.Any, patch: any_pb2.Any, *, replace_lists: bool = False) -> None:
    """The same inside two `Any`; one without content takes what the patch has."""
    if not target.type_url:
        target.CopyFrom(patch)
        return
    if target.type_url != patch.type_url:
        kinds = f"{patch.type_url.rpartition('/')[2]} is no {target.type_url.rpartition('/')[2]}"
        raise MeshError(ErrorCode.INVALID, kinds)
    inner, change = registry.unpack(target), registry.unpack(patch)
    if inner is None or change is None:
        raise MeshError(ErrorCode.INVALID, f"{target.type_url} is not known here")
    merge(inner, change, replace_lists=replace_lists)
    target.value = inner.SerializeToString(deterministic=True)


def _merge_map(target: Any, entries: Any) -> None:
    for key in entries:
        if isinstance(entries[key], message.Message):
            target[key].CopyFrom(entries[key])
        else:
            target[key] = entries[key]


def _is_value(value: message.Message) -> bool:
    return isinstance(value, duration_pb2.Duration) or value.DESCRIPTOR.full_name in _WRAPPERS


def _same_extension(target: Any, patch: Any) -> bool:
    """A named extension (a transport socket, say) of another name or type is replaced, not mixed."""
    if "typed_config" not in patch.DESCRIPTOR.fields_by_name:
        return True
    if patch.name and patch.name != target.name:
        return False
    return not patch.typed_config.type_url or patch.typed_config.type_url == target.typed_config.type_url
