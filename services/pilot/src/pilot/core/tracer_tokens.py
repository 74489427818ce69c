"""Tokens by which proxies prove to tracers who they are: Envoy has them, whoever looks at its config does not. Pure."""

from typing import Any

_TRACERS = "type.googleapis.com/envoy.config.trace.v3."
_TOKEN = "backend_token"
_HIDDEN = "[redacted]"


def without_tokens(document: Any, *, in_tracer: bool = False) -> Any:
    """The same JSON without the token and the values of the headers of every tracer."""
    if isinstance(document, list):
        return [without_tokens(item, in_tracer=in_tracer) for item in document]
    if not isinstance(document, dict):
        return document
    inside = in_tracer or str(document.get("@type", "")).startswith(_TRACERS)
    told = {key: without_tokens(value, in_tracer=inside) for key, value in document.items()}
    if inside:
        told |= dict.fromkeys(told.keys() & ({_TOKEN, "value"} if "key" in told else {_TOKEN}), _HIDDEN)
    return told
