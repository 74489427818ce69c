"""Errors as RFC 9457 problem documents; the only place where an HTTP status is chosen."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from meshcore.errors import HTTP_STATUS, ErrorCode, MeshError, Violation

MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger("http")
_CODE_OF_STATUS = {
    400: ErrorCode.INVALID,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_MEDIA,
    503: ErrorCode.UNAVAILABLE,
}


class ProblemViolation(BaseModel):
    """One thing wrong with one field."""

    field: str
    message: str
    expected: str = ""
    file: str | None = None
    line: int | None = None


class Problem(BaseModel):
    """An error, as every service of the mesh reports it."""

    type: str = Field(examples=["urn:meshcore:problem:conflict"])
    title: str
    status: int
    detail: str
    code: str
    violations: list[ProblemViolation] = []


def problem_response(
    code: ErrorCode,
    detail: str,
    violations: Sequence[Violation] = (),
    headers: dict[str, str] | None = None,
    status: int | None = None,
    extension: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """The response for an error code, with its status or another one, and members of its own kind (RFC 9457 §3.2)."""
    status = HTTP_STATUS[code] if status is None else int(status)
    body = Problem(
        type=f"urn:meshcore:problem:{code.value}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code.value,
        violations=[
            ProblemViolation(field=v.field, message=v.message, expected=v.expected, file=v.file, line=v.line)
            for v in violations
        ],
    )
    content = body.model_dump(exclude_none=True) | dict(extension or {})
    if code is ErrorCode.UNAUTHENTICATED:
        headers = {"WWW-Authenticate": "Bearer", **(headers or {})}
    return JSONResponse(content, status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document; the detail of a bug goes to the log only."""

    async def of_mesh_error(_: Request, error: MeshError) -> JSONResponse:
        return problem_response(error.code, error.detail, error.violations)

    async def of_validation(_: Request, error: RequestValidationError) -> JSONResponse:
        violations = [Violation(_path(problem["loc"]), str(problem["msg"])) for problem in error.errors()]
        return problem_response(ErrorCode.INVALID, "the request is not valid", violations)

    async def of_http_error(_: Request, error: HTTPException) -> JSONResponse:
        code = _CODE_OF_STATUS.get(error.status_code, ErrorCode.INTERNAL)
        return problem_response(code, str(error.detail), headers=dict(error.headers or {}))

    async def of_bug(request: Request, error: Exception) -> JSONResponse:
        _log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
        return problem_response(ErrorCode.INTERNAL, "internal error; the log of the service has the cause")

    app.add_exception_handler(MeshError, of_mesh_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, of_validation)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, of_http_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, of_bug)


def _path(location: Sequence[Any]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
