"""`Status` objects: every refusal of the config API, in the words that stock kubectl prints well.

`details.kind` is the plural for 404 and 409 and the Kind for 422; the core group has no `group` key. kubectl prints the
causes of a 422, one line each, and not its message.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from meshcore.errors import ADMISSION_REASON, HTTP_STATUS, ErrorCode, MeshError, Violation
from meshcore.model.kinds import KindInfo

Body = dict[str, Any]


class StatusError(MeshError):
    """A refusal with its Kubernetes reason, HTTP code and details; `headers` and `warnings` go out with it."""

    def __init__(
        self,
        code: ErrorCode,
        http: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        violations: Iterable[Violation] = (),
    ) -> None:
        super().__init__(code, message, violations)
        self.http = http
        self.reason = reason
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        self.warnings: tuple[str, ...] = ()

    @property
    def body(self) -> Body:
        """The Status object."""
        body: Body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.detail,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        return {**body, "code": self.http}


def resource_name(info: KindInfo) -> str:
    """`virtualservices.networking.istio.io`, or the bare plural in the core group."""
    return f"{info.plural}.{info.group}" if info.group else info.plural


def _about(info: KindInfo, name: str, *, kind: str | None = None) -> Body:
    details: Body = {"name": name}
    if info.group:
        details["group"] = info.group
    return {**details, "kind": kind or info.plural}


def bad_request(message: str) -> StatusError:
    """400: the request itself cannot be understood."""
    return StatusError(ErrorCode.INVALID, 400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: no identity, or one that is not known."""
    return StatusError(
        ErrorCode.UNAUTHENTICATED, 401, "Unauthorized", "Unauthorized", headers={"WWW-Authenticate": "Bearer"}
    )


def forbidden(user: str, verb: str, info: KindInfo | None, name: str, namespace: str | None, why: str) -> StatusError:
    """403: known, but not allowed to do that."""
    what = resource_name(info) if info else "this path"
    named = f'{what} "{name}"' if name else what
    where = f' in the namespace "{namespace}"' if namespace else ""
    message = f'{named} is forbidden: user "{user}" cannot {verb} {what}{where}: {why}'
    details = _about(info, name) if info else {}
    return StatusError(ErrorCode.PERMISSION_DENIED, 403, "Forbidden", message, details)


def refused(info: KindInfo, name: str, why: str, causes: Iterable[Mapping[str, str]] = ()) -> StatusError:
    """403 for a rule rather than for a caller: a terminating namespace, a name that must stay."""
    details = _about(info, name)
    if found := [dict(cause) for cause in causes]:
        details["causes"] = found
    message = f'{resource_name(info)} "{name}" is forbidden: {why}'
    return StatusError(ErrorCode.PERMISSION_DENIED, 403, "Forbidden", message, details)


def not_found(info: KindInfo, name: str) -> StatusError:
    """404: no object of that name."""
    message = f'{resource_name(info)} "{name}" not found'
    return StatusError(ErrorCode.NOT_FOUND, 404, "NotFound", message, _about(info, name))


def unknown_path() -> StatusError:
    """404 for a path that names nothing."""
    return StatusError(ErrorCode.NOT_FOUND, 404, "NotFound", "the server could not find the requested resource")


def method_not_allowed() -> StatusError:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(ErrorCode.METHOD_NOT_ALLOWED, 405, "MethodNotAllowed", message)


def not_acceptable(offered: Iterable[str]) -> StatusError:
    """406: no representation that the caller takes."""
    message = "only the following media types are accepted: " + ", ".join(offered)
    return StatusError(ErrorCode.UNSUPPORTED_MEDIA, 406, "NotAcceptable", message)


def unsupported_media(offered: Iterable[str]) -> StatusError:
    """415: the body is in a form that this path does not read."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(offered)
    return StatusError(ErrorCode.UNSUPPORTED_MEDIA, 415, "UnsupportedMediaType", message)


def already_exists(info: KindInfo, name: str) -> StatusError:
    """409 on create."""
    message = f'{resource_name(info)} "{name}" already exists'
    return StatusError(ErrorCode.ALREADY_EXISTS, 409, "AlreadyExists", message, _about(info, name))


def conflict(info: KindInfo, name: str, why: str = "") -> StatusError:
    """409: somebody else was faster, or a precondition does not hold."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {resource_name(info)} "{name}": {why}'
    return StatusError(ErrorCode.CONFLICT, 409, "Conflict", message, _about(info, name))


def expired(message: str) -> StatusError:
    """410: a resourceVersion or a continue token from before the last compaction."""
    return StatusError(ErrorCode.GONE, 410, "Expired", message)


def future_version(wanted: int, current: int) -> StatusError:
    """504 with Retry-After: the caller has seen a revision that this server has not."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return StatusError(ErrorCode.DEADLINE_EXCEEDED, 504, "Timeout", message, details, {"Retry-After": "1"})


_MOST_CAUSES = 500


def invalid(info: KindInfo, name: str, violations: Iterable[Violation]) -> StatusError:
    """422 with one cause per violation; of thousands only the first, and how many more there are."""
    found = tuple(violations)
    causes = [
        {"reason": "FieldValueInvalid", "message": _cause_text(violation), "field": violation.field or "<root>"}
        for violation in found[:_MOST_CAUSES]
    ]
    texts = [f"{cause['field']}: {cause['message']}" for cause in causes]
    texts += [f"and {len(found) - _MOST_CAUSES} more"] if len(found) > _MOST_CAUSES else []
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    named = f"{info.kind}.{info.group}" if info.group else info.kind
    details = {**_about(info, name, kind=info.kind), "causes": causes}
    message = f'{named} "{name}" is invalid: {joined}'
    return StatusError(ErrorCode.INVALID, 422, "Invalid", message, details, violations=found)


def invalid_options(field: str, reason: str, message: str) -> StatusError:
    """422 about the query of a patch."""
    cause = {"reason": reason, "message": message, "field": field}
    details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}
    text = f'PatchOptions.meta.k8s.io "" is invalid: {field}: {message}'
    return StatusError(ErrorCode.INVALID, 422, "Invalid", text, details, violations=[Violation(field, message)])


def _cause_text(violation: Violation) -> str:
    text = f"Invalid value: {violation.message}"
    return f"{text} (expected {violation.expected})" if violation.expected else text


def success(info: KindInfo, name: str, uid: str, revision: str = "") -> Body:
    """The reply to a DELETE; kubectl waits until an object with this uid is gone.

    `revision` is that of the deletion, so that its convergence can be asked for.
    """
    details = {**_about(info, name), "uid": uid}
    written = {"resourceVersion": revision} if revision else {}
    return {"kind": "Status", "apiVersion": "v1", "metadata": written, "status": "Success", "details": details}


def from_error(error: MeshError, info: KindInfo | None = None, name: str = "") -> StatusError:
    """Any `MeshError` as a Status: conflicts and absences get the words that clients look for."""
    if isinstance(error, StatusError):
        return error
    if info is not None:
        if error.code is ErrorCode.INVALID and error.violations:
            return invalid(info, name, error.violations)
        if error.code is ErrorCode.NOT_FOUND:
            return not_found(info, name)
        if error.code is ErrorCode.ALREADY_EXISTS:
            return already_exists(info, name)
        if error.code is ErrorCode.CONFLICT:
            return conflict(info, name)
    if error.code is ErrorCode.INVALID:
        return bad_request(str(error))
    headers = {"Retry-After": "1"} if error.code in (ErrorCode.RESOURCE_EXHAUSTED, ErrorCode.UNAVAILABLE) else {}
    return StatusError(error.code, HTTP_STATUS[error.code], ADMISSION_REASON[error.code], error.detail, headers=headers)
