"""One request about a resource: what it names, who asks, what it says; and the replies to it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import yaml
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode
from meshcore.http import Caller, Role
from meshcore.model.kinds import KindInfo
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from galley.adapters.pilot_effect import PilotEffect
from galley.adapters.store import Store
from galley.core.confidential import with_key_names
from galley.core.kind_rules import KindRules, Naming
from galley.core.kube_api import bodies, status
from galley.core.kube_api.negotiation import Form, choose_form
from galley.core.kube_api.paths import ResourcePath
from galley.core.kube_api.shapes import in_version, shape_object
from galley.core.kube_api.warnings import warning_headers
from galley.core.storage import StoredObject

JSON = "application/json"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Backend:
    """What the config API works with."""

    store: Store
    naming: Naming
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pilot: PilotEffect | None = field(default=None, compare=False)
    """Whom a dry run asks about proxies."""
    one_analysis: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1), compare=False)
    """An analysis of everything takes a core for a while: one at a time."""


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated and authorised request about a resource."""

    backend: Backend
    request: Request
    path: ResourcePath
    info: KindInfo
    rules: KindRules
    caller: Caller

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters; of one that stands twice the last."""
        return self.request.query_params

    @property
    def form(self) -> Form:
        """The form that the caller takes; 406 when we have none of them."""
        return choose_form(self.request.headers.get("accept", ""))

    def key(self, name: str) -> Key:
        """The store's key of an object of this kind in this namespace."""
        namespace = self.path.namespace or "" if self.info.namespaced else ""
        return Key(self.info.group, self.info.plural, namespace, name)

    @property
    def name(self) -> str:
        """The name in the URL; 404 when it names none."""
        if self.path.name is None:
            raise status.unknown_path()
        return self.path.name

    @property
    def reveals(self) -> bool:
        """Whether the caller may see what is confidential here: who may write it, in this namespace."""
        return self.caller.allows(Role.EDITOR, self.path.namespace)

    async def stored(self) -> StoredObject:
        """The object that the URL names, as the caller may see it."""
        found = await self.backend.store.get(self.key(self.name))
        return self.backend.store.reveal(found) if self.reveals else found

    async def body(self) -> bytes:
        """The whole body; 413 beyond the limit."""
        return await read_body(self.request)

    def in_form(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The document as its form may have it: tables and lists of metadata never hold content."""
        whole = not self.rules.confidential or self.form in (Form.OBJECT, Form.YAML)
        return document if whole else with_key_names(document)

    def reply(self, document: Mapping[str, Any], code: int = 200, warnings: Iterable[str] = ()) -> Response:
        """One object in the version of the URL and the form asked for."""
        shown = in_version(self.in_form(document), self.info, self.path.version)
        include = self.query.get("includeObject") or "Metadata"
        form = self.form
        body = shape_object(shown, form, self.rules, self.backend.clock(), include)
        return json_reply(body, code, warnings, form=form)


async def read_body(request: Request) -> bytes:
    """Read a body up to the limit; what is larger is refused before it is read."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > bodies.LARGEST:
        raise _too_large()
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > bodies.LARGEST:
            raise _too_large()
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large() -> status.StatusError:
    message = f"a body may have at most {bodies.LARGEST} bytes"
    return status.StatusError(ErrorCode.TOO_LARGE, 413, "RequestEntityTooLarge", message)


def json_reply(
    body: Any, code: int = 200, warnings: Iterable[str] = (), *, form: Form = Form.OBJECT, media_type: str = JSON
) -> Response:
    """A JSON reply (YAML when that was asked for) with its warnings."""
    if form is Form.YAML:
        response = Response(yaml.safe_dump(dict(body), sort_keys=False), code, media_type="application/yaml")
    else:
        response = Response(encode(body), code, media_type=media_type)
    for name, value in warning_headers(warnings):
        response.headers.append(name, value)
    return response


def encode(body: Any) -> bytes:
    """Compact JSON."""
    return _encode(body)


def status_reply(error: status.StatusError) -> Response:
    """A refusal."""
    response = Response(encode(error.body), error.http, headers=error.headers, media_type=JSON)
    for name, value in warning_headers(error.warnings):
        response.headers.append(name, value)
    return response
