"""What one serving process answers when it is asked about its own streams; the same over HTTP, sockets and NATS."""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime.readiness import Readiness
from meshcore.xds.types import ENDPOINT_TYPE

from pilot.adapters import telemetry
from pilot.adapters.hub import Hub
from pilot.adapters.in_force import InForce
from pilot.core import status
from pilot.core.pace import Stage

LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """Answers by process, and the processes that did not give one in time."""

    answers: Mapping[str, Any]
    missing: tuple[str, ...] = ()


class Source(Protocol):
    """Somebody who can be asked: this process, its workers, or every instance."""

    async def ask(self, what: str, parameters: Mapping[str, Any], seconds: float) -> Gathered:
        """Every process's answer; `seconds` is how long an answer may wait for something to happen."""


class LocalAnswers:
    """This process."""

    def __init__(
        self, hub: Hub, name: str, readiness: Readiness | None = None, in_force: InForce | None = None
    ) -> None:
        self._hub = hub
        self._name = name
        self._pages: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "ready": lambda _: readiness is None or readiness.ready,
            "refusals": lambda _: [
                *status.refusal_rows(hub.engine),
                *status.key_rows(hub.engine.snapshot),
                *status.left_out_rows(hub.engine.snapshot),
                *status.lacking_rows(hub.engine),
            ],
            "syncz": lambda _: status.sync_rows(hub.engine),
            "registryz": lambda _: status.registry_rows(hub.engine),
            "adsz": self._connections,
            "proxies": self._proxies,
            "engine": self._counters,
            "in_force": lambda _: [] if in_force is None else [in_force.document()],
            "metrics": lambda _: telemetry.process_document(),
        }

    async def ask(self, what: str, parameters: Mapping[str, Any], seconds: float) -> Gathered:
        """One answer, ours."""
        return Gathered({self._name: await self.answer(what, parameters, seconds)})

    async def answer(self, what: str, parameters: Mapping[str, Any], seconds: float) -> Any:
        """A JSON document; NOT_FOUND for a question that this version does not know."""
        match what:
            case "receipt":
                return msgspec.to_builtins(await self._receipt(int(parameters["revision"]), seconds))
            case "registered":
                return await self._hub.registered_taken(int(parameters["sequence"]), seconds)
            case "config_dump":
                return self._config_dump(str(parameters["proxy"]))
            case "config_parts":
                return self._config_parts(str(parameters["proxy"]))
            case "whatif":
                return await self._what_if(parameters)
            case "explain":
                return self._explain(parameters)
            case "edsz":
                return self._endpoints(str(parameters["proxy"]))
        page = self._pages.get(what)
        if page is None:
            raise MeshError(ErrorCode.NOT_FOUND, f"no answer to {what!r}")
        return page(parameters)

    def _connections(self, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        wanted = parameters.get("proxy")
        return [
            status.connection_row(s) for s in self._hub.engine.streams.values() if not wanted or s.proxy.id == wanted
        ]

    def _proxies(self, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        engine = self._hub.engine
        streams = [stream for stream in engine.streams.values() if stream.proxy_class is not None]
        return [status.proxy_row(stream, engine.held_back(stream)) for stream in streams]

    def _counters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        engine = self._hub.engine
        return {
            "revision": engine.snapshot.revision,
            "streams": len(engine.streams),
            "classes": len(engine.configs),
            "compiles": engine.configs.compiles,
            "refreshes": engine.configs.refreshes,
            "frames_built": engine.frames.built,
            "frames_shared": engine.frames.shared,
            "sweeps": self._hub.sweeps,
            "backlog": self._hub.admission.backlog,
        }

    async def _receipt(self, revision: int, seconds: float) -> Any:
        deadline = time.monotonic() + min(seconds, LONGEST_WAIT)
        receipts = self._hub.engine.receipts
        while not receipts.decided(revision) and (left := deadline - time.monotonic()) > 0:
            await self._hub.progress(left)
        return receipts.answer(revision, self._stage_of)

    def _stage_of(self, number: int) -> str:
        """What the push of a stream waits for; one that has not begun waits for its turn."""
        stream = self._hub.engine.streams.get(number)
        return "" if stream is None else str(stream.pace.stage or Stage.QUEUE)

    def _config_dump(self, proxy: str) -> Any:
        stream = self._hub.engine.find(proxy)
        if stream is None:
            return None
        from pilot.core.config_dump import config_dump

        return config_dump(self._hub.engine.compiled(stream))

    def _config_parts(self, proxy: str) -> Any:
        """The same as messages: type URL and content in base64, since answers are JSON."""
        stream = self._hub.engine.find(proxy)
        if stream is None:
            return None
        from pilot.core.config_dump import dump_message

        dump = dump_message(self._hub.engine.compiled(stream))
        return [[part.type_url, base64.b64encode(part.value).decode()] for part in dump.configs]

    async def _what_if(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        from pilot.core.what_if import Comparison, parse_changes

        engine = self._hub.engine
        before = engine.snapshot
        supposed = parse_changes(parameters["changes"])
        comparison = Comparison(before, before.supposing((one.object, one.removed) for one in supposed), engine.compile)
        proxies = [stream.proxy for stream in engine.streams.values() if stream.proxy_class is not None]
        for group in comparison.groups(proxies):
            comparison.look(group)
            await asyncio.sleep(0)  # streams go on between two compiles
        found = [one.document() for one in comparison.consequences]
        return {"revision": before.revision, "proxies": len(proxies), "consequences": found}

    def _explain(self, parameters: Mapping[str, Any]) -> Any:
        engine = self._hub.engine
        stream = engine.find(str(parameters["proxy"]))
        if stream is None or stream.proxy_class is None:
            return None
        from pilot.core.simulation import explain, parse_question

        question = parse_question(
            str(parameters["to"]),
            str(parameters.get("path", "")),
            str(parameters.get("method", "GET")),
            parameters.get("headers") or {},
            int(parameters.get("port", 0)),
        )
        found = explain(engine.snapshot, stream.proxy, stream.proxy_class, engine.compiled(stream), question)
        return {**found.document(), "revision": engine.snapshot.revision}

    def _endpoints(self, proxy: str) -> Any:
        stream = self._hub.engine.find(proxy)
        if stream is None:
            return None
        from google.protobuf import json_format
        from meshcore.xds import registry

        resources = self._hub.engine.compiled(stream).of_type(ENDPOINT_TYPE).values()
        return [
            json_format.MessageToDict(registry.parse(one.type_url, one.body), preserving_proto_field_name=True)
            for one in resources
        ]
