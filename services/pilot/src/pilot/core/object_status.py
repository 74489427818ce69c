"""The status of config objects that proxies refuse: one aggregate per object, written only when it changes. Pure.

Status is reported, not published, so it never comes back as a change of config.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from meshcore.model.kinds import EXTENSIONS, KINDS, NETWORKING, SECURITY, TELEMETRY, KindInfo
from meshcore.xds.origin import ConfigRef

CONDITION, REASON = "Programmed", "RefusedByProxies"
KEYS, KEYS_REASON = "keys", "KeysNotFetched"
"""The type of a row that tells of an issuer's keys, and the reason where nothing else is wrong."""
LEFT_OUT, LEFT_OUT_REASON = "config", "LeftOutByPilot"
"""The same of an object whose newest version Pilot cannot take."""
_OF_KEYS, _LEFT_OUT = "keys of ", "left out: "
_REASONS = {_OF_KEYS: KEYS_REASON, _LEFT_OUT: LEFT_OUT_REASON}
_LAST = {KEYS: 1, LEFT_OUT: 2}
"""What is told after what proxies refuse."""
MOST_LINES = 5
"""Different refusals of one object that its status tells."""
MOST_OBJECTS = 500
"""Objects whose refusal is reported at once: when everything is refused, the first tell enough."""
_GROUPS = frozenset({NETWORKING, SECURITY, TELEMETRY, EXTENSIONS})
_REPORTED = {info.kind: info for info in KINDS if info.group in _GROUPS and info.has_status}


@dataclass(frozen=True, slots=True)
class StatusWrite:
    """One object whose status is to be written; an empty `message` clears it."""

    config: ConfigRef
    message: str

    @property
    def info(self) -> KindInfo:
        """The kind of the object."""
        return _REPORTED[self.config.kind]

    @property
    def path(self) -> str:
        """Where it is written in the config API."""
        config, info = self.config, self.info
        return f"/apis/{info.api_version}/namespaces/{config.namespace}/{info.plural}/{config.name}/status"

    def body(self, now: str) -> dict[str, Any]:
        """What is merged into the object; `now` is an RFC 3339 time. Of a status the conditions are ours."""
        if not self.message:
            return {"status": {"conditions": None}}
        reason = next((one for start, one in _REASONS.items() if self.message.startswith(start)), REASON)
        condition = {"type": CONDITION, "status": "False", "reason": reason, "message": self.message}
        return {"status": {"conditions": [{**condition, "lastTransitionTime": now}]}}


def messages_of(rows: Iterable[Mapping[str, Any]]) -> dict[ConfigRef, str]:
    """What to say of each object, without a revision, from the refusals of every process (`status.refusal_rows`).

    Kinds whose status belongs to somebody else (Service, say) are left out.
    """
    merged: dict[ConfigRef, dict[tuple[str, str, str], tuple[int, set[str]]]] = {}
    for row in rows:
        config = ConfigRef.parse(row["config"]).unversioned
        if config.kind not in _REPORTED:
            continue
        line = (row["type"], ", ".join(row["resources"]), row["message"])
        count, proxies = merged.setdefault(config, {}).get(line, (0, set()))
        merged[config][line] = (count + row["count"], proxies | set(row["proxies"]))
    chosen = sorted(merged)[:MOST_OBJECTS]
    return {config: "; ".join(_lines(merged[config])) for config in chosen}


def _lines(found: Mapping[tuple[str, str, str], tuple[int, set[str]]]) -> Iterable[str]:
    for kind, resources, message in sorted(found, key=lambda line: (_LAST.get(line[0], 0), line))[:MOST_LINES]:
        if kind == LEFT_OUT:
            yield f"{_LEFT_OUT}{message}"
            continue
        if kind == KEYS:
            yield f"{_OF_KEYS}{resources} are not fetched: {message}"
            continue
        count, proxies = found[kind, resources, message]
        names = sorted(proxies)[:3]
        more = f" and {count - len(names)} more" if count > len(names) else ""
        yield f"{', '.join(names)}{more} refuse {kind} {resources}: {message}"
    if len(found) > MOST_LINES:
        yield f"and {len(found) - MOST_LINES} more refusals"


def writes(
    wanted: Mapping[ConfigRef, str], written: Mapping[ConfigRef, str], *, whole: bool
) -> tuple[StatusWrite, ...]:
    """What to write so that every status says what is wanted. Unless the answers are `whole` nothing is cleared: who
    did not answer may still refuse it."""
    said = [StatusWrite(config, message) for config, message in wanted.items() if written.get(config) != message]
    gone = [StatusWrite(config, "") for config in written if config not in wanted] if whole else []
    return tuple(sorted((*said, *gone), key=lambda one: one.config))
