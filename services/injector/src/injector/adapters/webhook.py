"""The mutating webhook: HTTP in, AdmissionReview out. What a pod gets is decided in `injector.core.admission`.

Anybody who reaches the port may ask: the answer holds nothing but the question and public configuration, so what is
limited is size (6 MiB), rate and the time a body may take.
"""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from meshcore import metrics
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import problem_response
from meshcore.http.body_limit import BodyLimitMiddleware
from meshcore.http.problem import install
from meshcore.rate import TokenBucket

from injector.core.admission import answer, parse_review
from injector.core.mesh_state import MeshState

LARGEST_REVIEW = 6 * 1024 * 1024
BYTES_PER_TOKEN = 16 * 1024
"""A request counts as one, and once more for so many bytes: the work grows with the pod."""

_log = structlog.get_logger("webhook")
_requests = metrics.counter("sidecar_injection_requests_total", "Admission requests for pods.")
_results = {
    "injected": metrics.counter("sidecar_injection_success_total", "Pods that got a sidecar."),
    "skipped": metrics.counter("sidecar_injection_skip_total", "Pods that were let through unchanged."),
    "refused": metrics.counter("sidecar_injection_failure_total", "Requests that could not be answered with a pod."),
}
_seconds = metrics.histogram("sidecar_injection_time_seconds", "Time to answer an admission request.")


def create_webhook(
    state: Callable[[], MeshState | None],
    *,
    requests_per_second: float,
    requests_burst: float,
    request_timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The application for port 15017; `state` gives the state in force, None while there is none yet."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    install(app)
    app.add_middleware(BodyLimitMiddleware, largest=LARGEST_REVIEW)
    bucket = TokenBucket.full(requests_per_second, requests_burst, clock())

    @app.post("/inject")
    @app.post("/inject/cluster/{cluster_id}/net/{network}")
    async def inject(request: Request, cluster_id: str = "", network: str = "") -> Response:
        nonlocal bucket
        started = clock()
        _requests.inc()
        bucket, wait = bucket.take(started)
        if wait:
            _results["refused"].inc()
            headers = {"Retry-After": str(max(1, round(wait)))}
            return problem_response(ErrorCode.RESOURCE_EXHAUSTED, "too many admission requests", headers=headers)
        try:
            body = await _body(request, request_timeout)
            bucket = bucket.charge(len(body) // BYTES_PER_TOKEN)
            response = _answer(body, state(), cluster_id, network)
        except BaseException:
            _results["refused"].inc()
            raise
        finally:
            _seconds.observe(clock() - started)
        return response

    @app.get("/ready")
    async def get_ready() -> Response:
        known = state() is not None
        return Response(status_code=HTTPStatus.OK if known else HTTPStatus.SERVICE_UNAVAILABLE)

    return app


async def _body(request: Request, request_timeout: float) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise MeshError(ErrorCode.UNSUPPORTED_MEDIA, "an AdmissionReview is application/json")
    try:
        async with asyncio.timeout(request_timeout):
            return await request.body()
    except TimeoutError:
        raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the body took too long") from None


def _answer(body: bytes, state: MeshState | None, cluster_id: str, network: str) -> Response:
    if state is None:
        raise MeshError(ErrorCode.UNAVAILABLE, "the injection configuration is not known yet")
    try:
        question = parse_review(body)
    except MeshError as error:
        _results["refused"].inc()
        # 400 as Istio's webhook: nothing that the API server could show to a user of kubectl
        return problem_response(error.code, error.detail, error.violations, status=HTTPStatus.BAD_REQUEST)
    outcome = answer(
        question,
        state.config,
        namespace_labels=state.namespace_labels.get(question.namespace),
        network=network or state.network,
        cluster_id=cluster_id,
    )
    _results[outcome.result].inc()
    _log.info("pod reviewed", result=outcome.result, reason=outcome.reason, namespace=question.namespace)
    return JSONResponse(outcome.review)
