"""Config from any server that speaks the Kubernetes API: list, then watch from there, for each kind.

A watch that ends is resumed where it was; when the server no longer knows that place (410), or says there what cannot
be read, the kind is listed again. An item of a list that is no object is left out alone, and a kind that the server
does not have is asked for again later; neither deletes anything.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from meshcore.http.kubeconfig import Access
from meshcore.model.gateway_api.references import GATEWAY_API
from meshcore.model.kinds import KINDS, KUBERNETES_NETWORKING, KindInfo
from meshcore.runtime.tasks import cancel, create_task

from galley.core.source import Collection, Fault, SourceChange, SourceObject, SourceState, unforeseen

PAGE = 500
_OF_KUBERNETES = frozenset({GATEWAY_API, KUBERNETES_NETWORKING})
WATCH_SECONDS = 300
_SHOWN = 300
_SHORTEST_PAUSE, _LONGEST_PAUSE, _UNKNOWN_KIND_PAUSE = 0.2, 30.0, 60.0


class _ExpiredError(Exception):
    """The server no longer knows the version from which to go on."""


class _UnknownKindError(Exception):
    """The server does not have the kind."""


def default_kinds() -> tuple[KindInfo, ...]:
    """Namespaces, and everything of Istio, of the Gateway API and of Ingress."""
    return tuple(
        info
        for info in KINDS
        if info.kind == "Namespace" or info.group.endswith(".istio.io") or info.group in _OF_KUBERNETES
    )


class KubernetesSource:
    """Config in another API server."""

    name = "kubernetes"

    def __init__(self, access: Access, kinds: Sequence[KindInfo] | None = None) -> None:
        self._access = access
        self._kinds = default_kinds() if kinds is None else tuple(kinds)
        self._events: asyncio.Queue[SourceState | SourceChange] = asyncio.Queue(1000)
        self._relists = asyncio.Event()
        self._generation = 0
        self._pauses: dict[KindInfo, float] = {}
        """Of kinds that cannot be asked now: how long to wait next time."""

    @classmethod
    def of_kubeconfig(cls, path: Path) -> "KubernetesSource":
        """The server of a kubeconfig's current context."""
        return cls(Access.of_kubeconfig(path))

    def ask_again(self) -> None:
        """List everything once more."""
        self._relists.set()

    async def events(self) -> AsyncIterator[SourceState | SourceChange]:
        """Each kind's state and changes; namespaces are listed before the others begin."""
        timeout = httpx.Timeout(30, read=WATCH_SECONDS + 30)
        async with self._access.client(timeout) as client:
            first = [info for info in self._kinds if info.kind == "Namespace"]
            listed = asyncio.Event()
            if not first:
                listed.set()
            tasks = [
                create_task(self._follow(client, info, listed), name=f"source-{info.plural}") for info in self._kinds
            ]
            tasks.append(create_task(self._relist_later(), name="source-relists"))
            try:
                while True:
                    yield await self._events.get()
            finally:
                await cancel(*tasks)

    async def _relist_later(self) -> None:
        """What was refused is asked for again, not faster than every few seconds."""
        while True:
            await self._relists.wait()
            await asyncio.sleep(5)
            self._generation += 1
            self._relists.clear()

    async def _follow(self, client: httpx.AsyncClient, info: KindInfo, namespaces_listed: asyncio.Event) -> None:
        version, generation = "", self._generation
        if info.kind != "Namespace":
            await namespaces_listed.wait()
        while True:
            try:
                if not version or generation != self._generation:
                    generation = self._generation
                    version = await self._list(client, info)
                    namespaces_listed.set()
                version = await self._watch(client, info, version)
            except _ExpiredError:
                version = ""
            except _UnknownKindError:
                await self._fault(info, "the server does not have this kind")
                namespaces_listed.set()
                await asyncio.sleep(_UNKNOWN_KIND_PAUSE)
            except httpx.HTTPError as error:
                await self._fault(info, f"{type(error).__name__}: {error}")
                await self._pause(info)
            except (ValueError, KeyError) as error:
                version = ""
                await self._fault(info, f"{type(error).__name__}: {error}"[:_SHOWN])
                await self._pause(info)
            except Exception as error:  # noqa: BLE001 - the kind must be followed whatever its server says
                version = ""
                await self._tell(info, unforeseen(error, info.plural))
                await self._pause(info)

    async def _pause(self, info: KindInfo) -> None:
        pause = self._pauses.get(info, _SHORTEST_PAUSE)
        self._pauses[info] = min(pause * 2, _LONGEST_PAUSE)
        await asyncio.sleep(pause)

    async def _fault(self, info: KindInfo, message: str) -> None:
        await self._tell(info, Fault(info.plural, None, message))

    async def _tell(self, info: KindInfo, fault: Fault) -> None:
        await self._events.put(SourceState((), _collection(info), faults=(fault,), complete=False))

    async def _answered(self, info: KindInfo) -> None:
        """The kind can be asked again: its fault is over, although nothing else may have happened."""
        if self._pauses.pop(info, None) is not None:
            await self._events.put(SourceState((), _collection(info), complete=False))

    async def _list(self, client: httpx.AsyncClient, info: KindInfo) -> str:
        """Tell the whole kind; the version to watch from."""
        objects: list[SourceObject] = []
        faults: list[Fault] = []
        query = {"limit": str(PAGE)}
        while True:
            response = await client.get(_path(info), params=query)
            _check(response)
            body = response.json()
            for item in body.get("items") or ():
                if isinstance(item, dict):
                    objects.append(SourceObject("", _typed(item, info)))
                else:
                    faults.append(Fault(info.plural, None, "an item of the list is no object"))
            if not (rest := body["metadata"].get("continue")):
                break
            query["continue"] = rest
        await self._answered(info)
        unreadable = frozenset({""}) if faults else frozenset[str]()
        await self._events.put(SourceState(tuple(objects), _collection(info), unreadable, tuple(faults)))
        return str(body["metadata"]["resourceVersion"])

    async def _watch(self, client: httpx.AsyncClient, info: KindInfo, version: str) -> str:
        """Tell what changes until the server ends the watch; the version to go on from."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        generation = self._generation
        async with client.stream("GET", _path(info), params=query) as response:
            _check(response)
            await self._answered(info)
            async for line in _lines(response):
                event = json.loads(line)
                found, document = event["type"], event["object"]
                if found == "ERROR":
                    if document.get("code") == 410:
                        raise _ExpiredError
                    raise ValueError(str(document.get("message")))
                if found in ("ADDED", "MODIFIED", "DELETED"):
                    item = SourceObject("", _typed(document, info))
                    await self._events.put(SourceChange(item, deleted=found == "DELETED"))
                version = str(document["metadata"]["resourceVersion"])
                if generation != self._generation:
                    break
        return version


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """The lines of a watch, which end with a line feed and nothing else: httpx ends them at U+2028 and U+0085 too."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line


def _collection(info: KindInfo) -> frozenset[Collection]:
    return frozenset({(info.group, info.plural)})


def _path(info: KindInfo) -> str:
    version = info.storage_version
    return f"/apis/{info.group}/{version}/{info.plural}" if info.group else f"/api/{version}/{info.plural}"


def _typed(document: dict[str, Any], info: KindInfo) -> dict[str, Any]:
    """Items of a list need not say what they are."""
    return {**document, "apiVersion": info.api_version, "kind": info.kind}


def _check(response: httpx.Response) -> None:
    if response.status_code == 410:
        raise _ExpiredError
    if response.status_code == 404:
        raise _UnknownKindError
    response.raise_for_status()
