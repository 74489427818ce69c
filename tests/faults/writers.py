"""Writers over REST. One writes pairs of objects as change sets, the other single objects that it deletes later."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.faults.ledger import Ledger, Values

PAUSE = 0.02
PATH = "/api/v1/namespaces/default/configmaps"
UNANSWERED = frozenset({503})
"""The store closes, or could not commit: what became of the write is not known."""


def config_map(name: str, value: str, version: str = "") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"} | ({"resourceVersion": version} if version else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": value}}


def sides(pair: int) -> tuple[str, str]:
    """The two objects that always have the same value."""
    return f"p{pair}-left", f"p{pair}-right"


def is_whole(values: Values) -> bool:
    """Whether a revision wrote what one writer writes at once: both sides of a pair alike, or one single object."""
    names = sorted(values)
    if names and names[0].startswith("p"):
        return tuple(names) == sides(int(names[0][1:].split("-")[0])) and len(set(values.values())) == 1
    return len(names) == 1


async def _answer(request: Any, ledger: Ledger) -> httpx.Response | None:
    """The answer, or None when nobody knows what became of the request."""
    try:
        answer: httpx.Response = await request
    except httpx.TransportError as error:
        ledger.unanswered[type(error).__name__] += 1
        return None
    if answer.status_code in UNANSWERED:
        ledger.unanswered[f"HTTP {answer.status_code}"] += 1
        return None
    return answer


async def write_pairs(pair: int, config: httpx.AsyncClient, admin: httpx.AsyncClient, ledger: Ledger) -> None:
    """Both sides get a new value in one revision, again and again. Each write names the version that it replaces, so
    that one which is delayed can never undo a later one."""
    versions: dict[str, str] | None = None
    number = 0
    while True:
        await asyncio.sleep(PAUSE)
        if versions is None:
            versions = await _read_pair(pair, config, ledger)
            continue
        number += 1
        values = {name: f"{pair}-{number}" for name in sides(pair)}
        changes = [
            {
                "operation": "update" if versions.get(name) else "create",
                "object": config_map(name, value, versions.get(name, "")),
            }
            for name, value in values.items()
        ]
        after = ledger.doubt(values)
        answer = await _answer(admin.post("/api/v1/changesets", json={"changes": changes}), ledger)
        if answer is None:
            versions = None
        elif answer.status_code == 409:
            ledger.refuse(values)
            versions = None
        elif answer.status_code != 200:
            ledger.complaints.append(f"change set: HTTP {answer.status_code} {answer.text[:300]}")
            versions = None
        else:
            done = answer.json()
            await ledger.acknowledge(values, done["revision"], after)
            versions = {item["key"]["name"]: item["resource_version"] for item in done["objects"]}


async def _read_pair(pair: int, config: httpx.AsyncClient, ledger: Ledger) -> dict[str, str] | None:
    versions, values = {}, {}
    for name in sides(pair):
        answer = await _answer(config.get(f"{PATH}/{name}"), ledger)
        if answer is None:
            return None
        if answer.status_code == 404:
            values[name] = None
        elif answer.status_code == 200:
            found = answer.json()
            versions[name], values[name] = found["metadata"]["resourceVersion"], found["data"]["v"]
        else:
            ledger.complaints.append(f"read: HTTP {answer.status_code} {answer.text[:300]}")
            return None
    for name, value in values.items():
        ledger.saw(name, value)
    return versions


async def write_singles(writer: int, config: httpx.AsyncClient, ledger: Ledger) -> None:
    """Creates one object after the other and deletes every second; a name is never used twice."""
    number = 0
    while True:
        await asyncio.sleep(PAUSE)
        number += 1
        name = f"s{writer}-{number}"
        value: Values = {name: str(number)}
        after = ledger.doubt(value)
        answer = await _answer(config.post(PATH, json=config_map(name, str(number))), ledger)
        if answer is None:
            continue
        if answer.status_code != 201:
            ledger.complaints.append(f"create: HTTP {answer.status_code} {answer.text[:300]}")
            continue
        await ledger.acknowledge(value, int(answer.json()["metadata"]["resourceVersion"]), after)
        if number % 2:
            continue
        nothing: Values = {name: None}
        after = ledger.doubt(nothing)
        answer = await _answer(config.delete(f"{PATH}/{name}"), ledger)
        if answer is None:
            continue
        if answer.status_code != 200:
            ledger.complaints.append(f"delete: HTTP {answer.status_code} {answer.text[:300]}")
        else:
            await ledger.acknowledge(nothing, None, after)
