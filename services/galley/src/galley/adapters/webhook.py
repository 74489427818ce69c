"""The validating webhook: HTTP in, AdmissionReview out. The verdict is `galley.core.admission_review`'s.

Anybody who reaches the port may ask: the answer holds nothing but the question and the rules, so what is limited is
size (6 MiB), rate and the time a body may take.
"""

import asyncio
import json
import time
from collections.abc import Callable
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import Response
from meshcore import metrics
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import listening, problem_response
from meshcore.http.body_limit import BodyLimitMiddleware
from meshcore.http.problem import install
from meshcore.rate import TokenBucket
from meshcore.runtime import Runtime
from meshcore.tls import LiveIdentity, ssl_server_context
from meshcore.tls.serving_certificate import serving_identity
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galley.core.admission_review import Verdict, decide, parse_review, unreadable
from galley.core.kind_rules import Naming
from galley.settings import GalleySettings

LARGEST_REVIEW = 6 * 1024 * 1024
BYTES_PER_TOKEN = 16 * 1024
"""A request counts as one, and once more for so many bytes: the work grows with the object."""

_log = structlog.get_logger("webhook")
_LABELS = ("group", "version", "resource")
_passed = metrics.counter("galley_validation_passed", "Objects that the webhook allowed.", _LABELS)
_failed = metrics.counter("galley_validation_failed", "Objects that the webhook refused.", (*_LABELS, "reason"))
_http_errors = metrics.counter("galley_validation_http_error", "Requests that got no verdict.", ("status",))


def create_webhook(
    naming: Naming,
    *,
    requests_per_second: float,
    requests_burst: float,
    request_timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The application for port 15017."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    install(app)
    app.add_middleware(BodyLimitMiddleware, largest=LARGEST_REVIEW)
    app.add_middleware(CountErrors)
    bucket = TokenBucket.full(requests_per_second, requests_burst, clock())

    async def review(request: Request, mixer: bool | None) -> Response:
        nonlocal bucket
        bucket, wait = bucket.take(clock())
        if wait:
            headers = {"Retry-After": str(max(1, round(wait)))}
            return problem_response(ErrorCode.RESOURCE_EXHAUSTED, "too many admission requests", headers=headers)
        body = await _body(request, request_timeout)
        bucket = bucket.charge(len(body) // BYTES_PER_TOKEN)
        if not body:
            refusal = problem_response(ErrorCode.INVALID, "the body is empty")
            refusal.status_code = HTTPStatus.BAD_REQUEST
            return refusal
        verdict = _verdict(body, naming, mixer)
        _count(verdict)
        # ASCII: what the question repeats may hold halves of surrogate pairs, which UTF-8 cannot say
        return Response(json.dumps(verdict.review), media_type="application/json")

    @app.post("/validate")
    @app.post("/validate/{revision:path}")
    async def validate(request: Request, revision: str = "") -> Response:
        return await review(request, None)

    @app.post("/admitpilot")
    async def admit_pilot(request: Request) -> Response:
        return await review(request, False)

    @app.post("/admitmixer")
    async def admit_mixer(request: Request) -> Response:
        return await review(request, True)

    @app.get("/ready")
    async def get_ready() -> Response:
        return Response()

    return app


async def start_webhook(runtime: Runtime[GalleySettings], naming: Naming, identity: LiveIdentity) -> None:
    """Serve it as the settings say, until the service ends."""
    settings = runtime.settings
    app = create_webhook(
        naming,
        requests_per_second=settings.requests_per_second,
        requests_burst=settings.requests_burst,
        request_timeout=settings.request_timeout.total_seconds(),
    )
    context = ssl_server_context(serving_identity(runtime, identity))
    served = listening(app, settings.host, settings.webhook_port, context)
    runtime.ports["webhook"] = await runtime.enter("webhook", served)


class CountErrors:
    """Counts the answers that are no verdicts, by their status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at the status of its answer."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
                _http_errors.labels(str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)


async def _body(request: Request, request_timeout: float) -> bytes:
    if request.headers.get("content-type", "") != "application/json":
        raise MeshError(ErrorCode.UNSUPPORTED_MEDIA, "an AdmissionReview is application/json")
    try:
        async with asyncio.timeout(request_timeout):
            return await request.body()
    except TimeoutError:
        raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the body took too long") from None


def _verdict(body: bytes, naming: Naming, mixer: bool | None) -> Verdict:
    try:
        question = parse_review(body)
    except MeshError as error:
        return unreadable(error)
    return decide(question, naming, mixer=mixer)


def _count(verdict: Verdict) -> None:
    labels = (verdict.group, verdict.version, verdict.resource)
    if not verdict.allowed:
        if verdict.counted:
            _failed.labels(*labels, verdict.reason).inc()
        _log.info("config refused", group=verdict.group, resource=verdict.resource, reason=verdict.reason)
    elif verdict.reason:
        _failed.labels(*labels, verdict.reason).inc()  # as Istio counts them: allowed, but not validated
    else:
        _passed.labels(*labels).inc()
