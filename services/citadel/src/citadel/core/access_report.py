"""What a reporter may say about its traffic, and for whom: checks a batch before any of it is kept. Pure.

The destination of a record is whoever the certificate names, whatever the batch says; the rest is the reporter's word
and is stored as such.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from meshcore._generated.meshcore.audit.v1 import audit_pb2
from meshcore.access_record import LARGEST_BATCH, NAME_LIMIT, TEXT_LIMITS
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

_BATCH_ID = re.compile(r"[0-9A-Za-z-]{16,64}")
_VERDICTS = {audit_pb2.ALLOWED: "allowed", audit_pb2.DENIED: "denied", audit_pb2.AUDITED: "audited"}
_LATEST = timedelta(minutes=5)
"""How far a reporter's clock may be ahead before what it says is taken for our own time."""
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def check_reporter(node_id: str, identity: SpiffeId) -> str:
    """The name of the instance in Envoy's node id; PERMISSION_DENIED unless its namespace is the certificate's.

    A certificate names no instance: replicas of one service account cannot be told apart by it.
    """
    parts = node_id.split("~")
    name, _, namespace = parts[2].rpartition(".") if len(parts) == 4 else ("", "", "")
    if not name or len(node_id) > 1024 or "\0" in node_id:
        raise MeshError(ErrorCode.INVALID, "node_id is not of the form <type>~<ip>~<name>.<namespace>~<domain>")
    if namespace != identity.namespace:
        raise MeshError(
            ErrorCode.PERMISSION_DENIED,
            f"the node is of namespace {namespace[:253]!r}, the certificate of {identity.namespace!r}",
        )
    return name[:253]


def rows_of(report: Any, identity: SpiffeId, now: datetime) -> list[dict[str, Any]]:
    """A row per record; INVALID names the first record and field that is wrong, PERMISSION_DENIED a forged node."""
    if not _BATCH_ID.fullmatch(report.batch_id):
        raise MeshError(ErrorCode.INVALID, "batch_id is not 16 to 64 letters, digits and dashes")
    if len(report.records) > LARGEST_BATCH:
        raise MeshError(ErrorCode.INVALID, f"records: {len(report.records)} are more than {LARGEST_BATCH}")
    instance = check_reporter(report.node_id, identity)
    shared = {"reporter": str(identity), "instance": instance, "received_at": now}
    return [shared | _row(index, record, now) for index, record in enumerate(report.records)]


def _row(index: int, record: Any, now: datetime) -> dict[str, Any]:
    verdict = _VERDICTS.get(record.verdict)
    if verdict is None:
        raise _wrong(index, "verdict", "is none of ALLOWED, DENIED, AUDITED")
    if record.response_code > 999:
        raise _wrong(index, "response_code", "is no HTTP status")
    return {
        "started_at": _moment(record.start_time, now),
        "verdict": verdict,
        **dict(_texts(index, record)),
        "response_code": record.response_code,
        "policy": _policy(index, "policy", record),
        "rule": record.policy.rule % 2**31,
        "audit_policy": _policy(index, "audit_policy", record),
        "audit_rule": record.audit_policy.rule % 2**31,
    }


def _texts(index: int, record: Any) -> Iterator[tuple[str, str]]:
    for name, most in TEXT_LIMITS.items():
        yield name, _checked(index, name, getattr(record, name), most)


def _checked(index: int, name: str, text: str, most: int) -> str:
    if len(text) > most:
        raise _wrong(index, name, f"has {len(text)} characters, at most {most} are stored")
    if "\0" in text:
        raise _wrong(index, name, "holds a NUL character")
    return text


def _policy(index: int, field: str, record: Any) -> str:
    policy = getattr(record, field)
    if not policy.name:
        return ""
    namespace = _checked(index, f"{field}.namespace", policy.namespace, NAME_LIMIT)
    return f"{namespace}/{_checked(index, f'{field}.name', policy.name, NAME_LIMIT)}"


def _moment(stamp: Any, now: datetime) -> datetime:
    """The reporter's time, unless its clock is plainly wrong."""
    try:
        said = datetime.fromtimestamp(stamp.seconds + stamp.nanos / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return now
    return said if _EARLIEST < said < now + _LATEST else now


def _wrong(index: int, field: str, what: str) -> MeshError:
    return MeshError(ErrorCode.INVALID, f"records[{index}].{field} {what}")
