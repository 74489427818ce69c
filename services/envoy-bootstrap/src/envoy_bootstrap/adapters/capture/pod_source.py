"""A pod as the Kubernetes API has it, asked for while its network is made."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from meshcore.errors import ErrorCode, MeshError
from meshcore.http.kubeconfig import Access

_TRIES, _PAUSE, _PATIENCE = 30, 1.0, 5.0


def fetch_pod(kubeconfig: str, namespace: str, name: str) -> dict[str, Any]:
    """The pod's object; UNAVAILABLE when the API has not given it within half a minute, as Istio waits for it."""
    return asyncio.run(_fetch(Path(kubeconfig), f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}"))


async def _fetch(kubeconfig: Path, path: str) -> dict[str, Any]:
    reason = ""
    async with Access.of_kubeconfig(kubeconfig).client(httpx.Timeout(_PATIENCE)) as client:
        for again in range(_TRIES):
            if again:
                await asyncio.sleep(_PAUSE)
            try:
                answer = await client.get(path)
                answer.raise_for_status()
                found = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                reason = str(error) or type(error).__name__
                continue
            if isinstance(found, dict):
                return found
            reason = "the answer is no object"
    raise MeshError(ErrorCode.UNAVAILABLE, f"the pod {path} is not to be had: {reason}")
