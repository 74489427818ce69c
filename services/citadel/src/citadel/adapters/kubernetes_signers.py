"""Has a request signed by a signer of a Kubernetes API: created, approved, waited for, deleted whatever comes of it."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import structlog

from citadel.core.caller import AuthenticatedCaller
from citadel.core.kubernetes_signer import SIGNING_REQUESTS, approved, issued_pem, read_object, signing_object
from citadel.core.refusal import Reason, SigningRefused

ASK_TIMEOUT = httpx.Timeout(10.0)
MOST_AT_ONCE = 64
"""Requests that are with signers at one time; more wait for their turn within their own time."""
_WATCH = httpx.Timeout(10.0, read=None)
_APPROVALS = 5
_BETWEEN_WATCHES = 0.2
_CONFLICT = 409
_log = structlog.get_logger("signers")
_Object = dict[str, Any]


class KubernetesSigners:
    """`client` speaks to the API; within `timeout` a signer has answered or the request is given up."""

    def __init__(self, client: httpx.AsyncClient, timeout: timedelta) -> None:
        self._client = client
        self._timeout = timeout.total_seconds()
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def sign(self, request: str, caller: AuthenticatedCaller, signer: str, life: timedelta) -> bytes:
        """The chain that the signer gives for a PEM request, unchecked; SigningRefused says why there is none."""
        wanted = signing_object(request, signer, life)
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                return await self._signed(wanted, caller)
        except TimeoutError:
            raise _failed(f"the signer {signer} has issued nothing within {self._timeout:g} s") from None
        except (httpx.HTTPError, OSError) as error:  # a file with a token may be gone, too
            _log.warning("the Kubernetes API cannot be asked for a certificate", error=type(error).__name__)
            raise _failed("the Kubernetes API cannot be asked") from None

    async def _signed(self, wanted: Mapping[str, Any], caller: AuthenticatedCaller) -> bytes:
        document = await self._created(wanted)
        path = _path_of(document)
        try:
            document = await self._approve(path, document, caller)
            while (pem := issued_pem(document)) is None:
                pem = await self._watch(document)
                if pem is not None:
                    return pem
                await asyncio.sleep(_BETWEEN_WATCHES)
                document = await self._ask("GET", path)
            return pem
        finally:
            await self._delete(path)

    async def _created(self, wanted: Mapping[str, Any]) -> _Object:
        """The new object; a caller that hangs up now leaves none there, though its name is not known yet."""
        creating = asyncio.ensure_future(self._ask("POST", SIGNING_REQUESTS, wanted))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            with contextlib.suppress(SigningRefused, httpx.HTTPError, OSError):
                await self._delete(_path_of(await creating))
            raise

    async def _approve(self, path: str, document: _Object, caller: AuthenticatedCaller) -> _Object:
        """Whoever else has written to the object meanwhile: it is read again."""
        for _ in range(_APPROVALS):
            answer = await self._client.put(f"{path}/approval", json=approved(document, str(caller.identity)))
            if answer.status_code != _CONFLICT:
                return _read(answer)
            document = await self._ask("GET", path)
            issued_pem(document)  # denied by somebody meanwhile
        raise _failed("the signing request cannot be approved: it is written to all the time")

    async def _watch(self, document: Mapping[str, Any]) -> bytes | None:
        """What the object's next versions bring; None when the watch ends before anything is decided."""
        metadata = document["metadata"]
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={metadata['name']}",
            "resourceVersion": metadata["resourceVersion"],
        }
        async with self._client.stream("GET", SIGNING_REQUESTS, params=query, timeout=_WATCH) as answer:
            if not answer.is_success:
                return None
            async for line in answer.aiter_lines():
                try:
                    event = json.loads(line)
                    kind, found = event["type"], event["object"]
                except (ValueError, KeyError, TypeError):
                    return None
                if kind == "DELETED":
                    raise _failed("the signing request was deleted before it was signed")
                if kind == "ERROR":
                    return None  # the server has forgotten that version, say
                if kind in ("ADDED", "MODIFIED") and (pem := issued_pem(read_object(found))) is not None:
                    return pem
        return None

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> _Object:
        return _read(await self._client.request(method, path, json=body))

    async def _delete(self, path: str) -> None:
        try:
            answer = await self._client.delete(path)
        except (httpx.HTTPError, OSError) as error:
            _log.warning("a signing request is left behind", path=path, error=type(error).__name__)
            return
        if not answer.is_success and answer.status_code != httpx.codes.NOT_FOUND:
            _log.warning("a signing request is left behind", path=path, status=answer.status_code)


def _path_of(document: Mapping[str, Any]) -> str:
    return f"{SIGNING_REQUESTS}/{document['metadata']['name']}"


def _failed(reason: str) -> SigningRefused:
    return SigningRefused(Reason.CERT_GEN_ERROR, reason)


def _read(answer: httpx.Response) -> _Object:
    """The object of an answer; the API's own words are for the log, since they name who Citadel is there."""
    try:
        document = answer.json()
    except ValueError:
        raise _failed(f"the Kubernetes API answers with status {answer.status_code} and no object") from None
    if answer.is_success:
        return read_object(document)
    told = document if isinstance(document, dict) else {}
    reason = str(told.get("reason") or "no reason")[:64]
    _log.warning("the Kubernetes API refuses a signing request", reason=reason, said=str(told.get("message"))[:500])
    raise _failed(f"the Kubernetes API refuses the signing request ({answer.status_code} {reason})")
