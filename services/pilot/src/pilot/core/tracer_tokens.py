"""Tokens by which proxies prove to tracers who they are: Envoy has them, whoever looks at its config does not. Pure."""

from typing import Any, TypeVar

from google.protobuf import any_pb2
from google.protobuf.message import Message
from meshcore.xds import registry

M = TypeVar("M", bound=Message)

_TRACERS = "type.googleapis.com/envoy.config.trace.v3."
_SECRET = frozenset({"envoy.config.trace.v3.ClientConfig.backend_token", "envoy.config.core.v3.HeaderValue.value"})
_HIDDEN = "[redacted]"


def without_tokens(message: M) -> M:
    """The message without the token and the values of the headers of every tracer in it; itself where there is none."""
    body = message.SerializeToString()
    if _TRACERS.encode() not in body:
        return message
    shown: M = type(message).FromString(body)
    _hide(shown, in_tracer=False)
    return shown


def _hide(message: Any, *, in_tracer: bool) -> None:
    if isinstance(message, any_pb2.Any):
        inner = registry.unpack(message)
        if inner is not None:
            _hide(inner, in_tracer=in_tracer or message.type_url.startswith(_TRACERS))
            message.value = inner.SerializeToString(deterministic=True)
        return
    for field, value in message.ListFields():
        if in_tracer and field.full_name in _SECRET:
            setattr(message, field.name, _HIDDEN)
        elif field.message_type is not None:
            for part in _parts(value):
                _hide(part, in_tracer=in_tracer)


def _parts(value: Any) -> list[Message]:
    """The messages of a field: one, several, or those of a map."""
    if isinstance(value, Message):
        return [value]
    found = value.values() if hasattr(value, "values") else value
    return [item for item in found if isinstance(item, Message)]
