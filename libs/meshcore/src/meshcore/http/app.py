"""One shape for every admin API: `/healthz /readyz /version /metrics` open, everything else for known callers."""

import asyncio
import platform
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel

from meshcore import metrics
from meshcore.http import problem
from meshcore.http.authentication import AuthenticationMiddleware
from meshcore.http.body_limit import BodyLimitMiddleware
from meshcore.http.callers import Authenticator
from meshcore.http.tracing import TracingMiddleware
from meshcore.runtime.readiness import Readiness

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/version", "/metrics"})
LARGEST_BODY = 6 * 1024 * 1024


class Version(BaseModel):
    """Which service answers, and in which version."""

    service: str
    version: str
    python: str


class ConditionState(BaseModel):
    """One thing that readiness depends on."""

    ok: bool
    detail: str = ""


class ReadinessState(BaseModel):
    """Whether the service is ready, and what it waits for."""

    ready: bool
    conditions: dict[str, ConditionState]


def create_app(
    name: str,
    version: str,
    readiness: Readiness,
    routers: Sequence[APIRouter] = (),
    authenticator: Authenticator | None = None,
    *,
    open_paths: frozenset[str] = frozenset(),
    largest_body: int = LARGEST_BODY,
) -> FastAPI:
    """The application of a service.

    `routers` bring `/api/v1/...` and `/debug/...`. Without an authenticator nothing but the open paths answers;
    `open_paths` adds to them (webhooks). Bodies over `largest_body` bytes are refused.
    """
    app = FastAPI(
        title=name,
        version=version,
        docs_url="/docs",
        redoc_url=None,
        responses={"default": {"model": problem.Problem, "description": "Error", "content": {problem.MEDIA_TYPE: {}}}},
        generate_unique_id_function=lambda route: f"{name}_{route.name}",
    )
    problem.install(app)
    app.include_router(_uniform(name, version, readiness))
    for router in routers:
        app.include_router(router)
    app.add_middleware(BodyLimitMiddleware, largest=largest_body)
    app.add_middleware(AuthenticationMiddleware, authenticator=authenticator, open_paths=OPEN_PATHS | open_paths)
    app.add_middleware(TracingMiddleware, untraced=OPEN_PATHS)
    return app


def _uniform(name: str, version: str, readiness: Readiness) -> APIRouter:
    router = APIRouter(tags=["service"])

    @router.get("/healthz", response_class=PlainTextResponse)
    async def get_health() -> str:
        """Whether the process answers at all."""
        return "ok"

    @router.get("/readyz", response_model=ReadinessState)
    async def get_readiness(request: Request) -> Response:
        """200 when ready, 503 with the conditions that do not hold otherwise."""
        state = ReadinessState(
            ready=readiness.ready,
            conditions={
                key: ConditionState(ok=one.ok, detail=one.detail) for key, one in sorted(readiness.conditions.items())
            },
        )
        return JSONResponse(state.model_dump(), status_code=200 if state.ready else 503)

    @router.get("/version")
    async def get_version() -> Version:
        """Name and version of the service."""
        return Version(service=name, version=version, python=platform.python_version())

    @router.get("/metrics", response_class=PlainTextResponse)
    async def get_metrics() -> Response:
        """Prometheus metrics."""
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    @router.get("/debug/tasks")
    async def list_tasks() -> list[str]:
        """Names of the tasks that run now."""
        return sorted(task.get_name() for task in asyncio.all_tasks())

    return router
