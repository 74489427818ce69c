"""One span per request, child of the caller's `traceparent`."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer


class TracingMiddleware:
    """Runs each request inside a server span, so that logs, changes and calls made for it carry its trace id."""

    def __init__(self, app: ASGIApp, untraced: Collection[str]) -> None:
        self._app = app
        self._untraced = frozenset(untraced)
        self._tracer: Tracer | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on inside its span."""
        if scope["type"] != "http" or scope["path"] in self._untraced:
            await self._app(scope, receive, send)
            return
        from opentelemetry import trace

        if self._tracer is None:
            self._tracer = trace.get_tracer("meshcore.http")
        name = f"{scope['method']} {scope['path']}"
        span = self._tracer.start_span(name, context=_parent_of(scope), kind=trace.SpanKind.SERVER)

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
            await send(message)

        with trace.use_span(span, end_on_exit=True):
            await self._app(scope, receive, observed if span.is_recording() else send)


def _parent_of(scope: Scope) -> "Context":
    """What the caller says of its own span; empty when it says nothing."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    return TraceContextTextMapPropagator().extract(carrier) if carrier else Context()
