"""Asks Pilot what a change would send to which proxies, over mTLS; on loopback, where there is no TLS, with a token."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from meshcore.errors import ErrorCode, MeshError
from meshcore.model.kinds import by_plural
from meshcore.tls import LiveIdentity, ssl_client_context

from galley.core.storage import Verb, WriteOp

TOKEN_FILE = "pilot-token"
_TIMEOUT = 10.0


class PilotEffect:
    """Pilot's `POST /api/v1/whatif` at `url`."""

    def __init__(self, url: str, identity: LiveIdentity, directory: Path) -> None:
        self._url = url.rstrip("/")
        self._identity = identity
        self._token = directory / TOKEN_FILE

    async def ask(self, operations: Sequence[WriteOp]) -> dict[str, Any]:
        """The effect of these writes; MeshError says why it is not known."""
        secure = self._url.startswith("https://")
        headers = {} if secure else {"authorization": f"Bearer {self._read_token()}"}
        verify = ssl_client_context(self._identity) if secure else False
        try:
            async with httpx.AsyncClient(
                base_url=self._url, headers=headers, verify=verify, timeout=_TIMEOUT, trust_env=False
            ) as client:
                answer = await client.post("/api/v1/whatif", json={"changes": supposed(operations)})
        except httpx.TransportError as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"Pilot does not answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise MeshError(ErrorCode.UNAVAILABLE, f"Pilot answered {answer.status_code}")
        return dict(answer.json())

    def _read_token(self) -> str:
        try:
            return self._token.read_text().strip()
        except OSError:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"there is no {TOKEN_FILE} for Pilot") from None


def supposed(operations: Sequence[WriteOp]) -> list[dict[str, Any]]:
    """The writes as Pilot takes them: what is published, so never a Secret."""
    found: list[dict[str, Any]] = []
    for one in operations:
        if one.verb is Verb.DELETE:
            info = by_plural(one.key.group, one.key.plural)
            metadata = {"name": one.key.name} | ({"namespace": one.key.namespace} if one.key.namespace else {})
            document = {"apiVersion": info.api_version, "kind": info.kind, "metadata": metadata}
            found.append({"operation": "delete", "object": document})
        elif one.normalised is not None:
            found.append({"operation": "apply", "object": dict(one.normalised)})
    return found


def visible(effect: Mapping[str, Any], namespaces: Collection[str] | None) -> dict[str, Any]:
    """What a viewer of these namespaces (None: all) may know of an effect: of proxies elsewhere only how many."""
    shown, hidden = [], 0
    for one in effect["consequences"]:
        kept = [name for name in one["proxies"] if namespaces is None or name.rpartition(".")[2] in namespaces]
        hidden += len(one["proxies"]) - len(kept)
        if kept:
            shown.append({**one, "proxies": kept})
    return {**effect, "consequences": shown, "hidden": hidden}
