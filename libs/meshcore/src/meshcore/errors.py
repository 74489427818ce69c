"""The one error type of the mesh, and how it looks at each edge.

    MeshError(code, detail, violations)
        raised for what a caller must be able to tell apart; everything else that is raised is a bug.
    Violation(field, message, expected, file, line)
        one thing wrong with one field of one input; returned in lists, all at once, never first-fail.

The tables below translate a code at the edges: HTTP status (RFC 9110), gRPC status code, Kubernetes `Status` reason.
Pure: knows nothing of any server.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class ErrorCode(StrEnum):
    """What a caller can do about it: fix the input, authenticate, retry, ..."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission-denied"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    ALREADY_EXISTS = "already-exists"
    CONFLICT = "conflict"
    GONE = "gone"
    FAILED_PRECONDITION = "failed-precondition"
    RESOURCE_EXHAUSTED = "resource-exhausted"
    UNSUPPORTED_MEDIA = "unsupported-media"
    TOO_LARGE = "too-large"
    UNAVAILABLE = "unavailable"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one field.

    `field` is the path from the document's root (`spec.http[0].route[1].weight`), `message` says what is wrong,
    `expected` what would be right, `file` and `line` (from 1) where the document came from, when it came from a file.
    """

    field: str
    message: str
    expected: str = ""
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = "" if self.file is None else f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        text = f"{self.field}: {self.message}" if self.field else self.message
        return f"{where}{text} (expected {self.expected})" if self.expected else f"{where}{text}"


class MeshError(Exception):
    """An error that a caller must be able to tell apart; `detail` is a whole sentence without secrets."""

    def __init__(self, code: ErrorCode, detail: str, violations: Iterable[Violation] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.violations = tuple(violations)

    def __str__(self) -> str:
        if not self.violations:
            return self.detail
        return f"{self.detail}: " + "; ".join(str(violation) for violation in self.violations)


HTTP_STATUS = MappingProxyType(
    {
        ErrorCode.INVALID: 422,
        ErrorCode.UNAUTHENTICATED: 401,
        ErrorCode.PERMISSION_DENIED: 403,
        ErrorCode.NOT_FOUND: 404,
        ErrorCode.METHOD_NOT_ALLOWED: 405,
        ErrorCode.ALREADY_EXISTS: 409,
        ErrorCode.CONFLICT: 409,
        ErrorCode.GONE: 410,
        ErrorCode.FAILED_PRECONDITION: 412,
        ErrorCode.RESOURCE_EXHAUSTED: 429,
        ErrorCode.UNSUPPORTED_MEDIA: 415,
        ErrorCode.TOO_LARGE: 413,
        ErrorCode.UNAVAILABLE: 503,
        ErrorCode.DEADLINE_EXCEEDED: 504,
        ErrorCode.INTERNAL: 500,
    }
)
"""HTTP status of each code."""

GRPC_STATUS = MappingProxyType(
    {
        ErrorCode.INVALID: 3,
        ErrorCode.UNAUTHENTICATED: 16,
        ErrorCode.PERMISSION_DENIED: 7,
        ErrorCode.NOT_FOUND: 5,
        ErrorCode.METHOD_NOT_ALLOWED: 12,
        ErrorCode.ALREADY_EXISTS: 6,
        ErrorCode.CONFLICT: 10,
        ErrorCode.GONE: 11,
        ErrorCode.FAILED_PRECONDITION: 9,
        ErrorCode.RESOURCE_EXHAUSTED: 8,
        ErrorCode.UNSUPPORTED_MEDIA: 3,
        ErrorCode.TOO_LARGE: 8,
        ErrorCode.UNAVAILABLE: 14,
        ErrorCode.DEADLINE_EXCEEDED: 4,
        ErrorCode.INTERNAL: 13,
    }
)
"""gRPC status code (google.rpc.Code) of each code."""

ADMISSION_REASON = MappingProxyType(
    {
        ErrorCode.INVALID: "Invalid",
        ErrorCode.UNAUTHENTICATED: "Unauthorized",
        ErrorCode.PERMISSION_DENIED: "Forbidden",
        ErrorCode.NOT_FOUND: "NotFound",
        ErrorCode.METHOD_NOT_ALLOWED: "MethodNotAllowed",
        ErrorCode.ALREADY_EXISTS: "AlreadyExists",
        ErrorCode.CONFLICT: "Conflict",
        ErrorCode.GONE: "Expired",
        ErrorCode.FAILED_PRECONDITION: "BadRequest",
        ErrorCode.RESOURCE_EXHAUSTED: "TooManyRequests",
        ErrorCode.UNSUPPORTED_MEDIA: "UnsupportedMediaType",
        ErrorCode.TOO_LARGE: "RequestEntityTooLarge",
        ErrorCode.UNAVAILABLE: "ServiceUnavailable",
        ErrorCode.DEADLINE_EXCEEDED: "Timeout",
        ErrorCode.INTERNAL: "InternalError",
    }
)
"""`reason` of a Kubernetes Status (and of an AdmissionReview's result) for each code."""
