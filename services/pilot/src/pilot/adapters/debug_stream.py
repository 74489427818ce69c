"""Debug pages over xDS: what istioctl asks at the ADS port. Every question is answered once, and no answer is
acknowledged."""

import base64
import json
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.xds.request import Request
from meshcore.xds.session import Front

from pilot.adapters.answers import Source
from pilot.adapters.debug_pages import debug_page, the_one
from pilot.core.debug_question import DEBUG_TYPE, DUMP_TYPE, DebugQuestion, parse_debug, permitted
from pilot.core.proxy import Proxy

_ABSENT = (ErrorCode.NOT_FOUND, ErrorCode.UNAVAILABLE)
Resources = list[tuple[str, str, bytes]]


class DebugStream:
    """Answers for `instance` where Istio's istiod answers for itself (who is connected), else for every instance."""

    def __init__(self, source: Source, instance: str, version: str, root_namespace: str, *, guarded: bool) -> None:
        self._source = source
        self._instance = instance
        self._root_namespace = root_namespace
        self._guarded = guarded
        self._identifier = json.dumps({"Component": "pilot", "ID": instance, "Info": {"version": version}})
        self._answers = 0

    async def answer(self, proxy: Proxy, front: Front, request: Request) -> bytes:
        """The response to a client; UNAUTHENTICATED, PERMISSION_DENIED, INVALID and NOT_FOUND end its stream."""
        asked = parse_debug(request.type_url, request.subscribe)
        identity = SpiffeId.parse(proxy.identity) if proxy.identity else None
        asked = permitted(asked, identity, self._root_namespace, guarded=self._guarded)
        resources = await self._resources(asked)
        self._answers += 1
        return front.lone_answer(asked.type_url, resources, f"debug-{self._answers}", self._identifier)

    async def _resources(self, asked: DebugQuestion) -> Resources:
        if asked.type_url == DEBUG_TYPE:
            return [(asked.name, DEBUG_TYPE, await self._body(asked))]
        if asked.type_url == DUMP_TYPE:
            gathered = await self._source.ask("config_parts", {"proxy": asked.name}, 0)
            return [(asked.name, kind, base64.b64decode(body)) for kind, body in the_one(gathered, asked.name)]
        from pilot.core.client_status import CLIENT_CONFIG_TYPE, client_config

        # istioctl asks every instance for itself.
        rows = await debug_page(self._source, asked.page, asked.parameters)
        own = [row for row in rows if row["pilot"].partition("/")[0] == self._instance]
        return [(row["proxy"], CLIENT_CONFIG_TYPE, client_config(row).SerializeToString()) for row in own]

    async def _body(self, asked: DebugQuestion) -> bytes:
        """A page as its HTTP form has it; one that has nothing to show says so in its place."""
        try:
            document: Any = await debug_page(self._source, asked.page, asked.parameters)
        except MeshError as error:
            if error.code not in _ABSENT:
                raise
            return error.detail.encode()
        return json.dumps(document, indent=2 if "pretty" in asked.parameters else None).encode()
