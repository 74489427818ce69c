"""Asks a Kubernetes API for the root of the istiod that was there before, once: at a first start."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from meshcore.http.kubeconfig import Access

from citadel.core.authority import Authority
from citadel.core.chain import refused
from citadel.core.istio_secret import CACERTS, SELF_SIGNED, root_of_istio

_TIMEOUT = httpx.Timeout(10.0)


@dataclass(frozen=True, slots=True)
class IstioRoot:
    """Where it may be; `use_cacerts` as USE_CACERTS_FOR_SELF_SIGNED_CA of that istiod."""

    kubeconfig: Path
    namespace: str
    use_cacerts: bool

    async def read(self) -> Authority | None:
        """The root, None when there is none; FAILED_PRECONDITION when nobody can say, or when it cannot be taken."""
        async with Access.of_kubeconfig(self.kubeconfig).client(_TIMEOUT) as client:
            self_signed, cacerts = await self._secret(client, SELF_SIGNED), await self._secret(client, CACERTS)
        return root_of_istio(self_signed, cacerts, self.use_cacerts, datetime.now(UTC))

    async def _secret(self, client: httpx.AsyncClient, name: str) -> Any:
        try:
            answer = await client.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            return answer.raise_for_status().json()
        except httpx.HTTPStatusError as error:
            raise refused(name, f"the Kubernetes API answers with status {error.response.status_code}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise refused(name, f"the Kubernetes API cannot be asked: {type(error).__name__}") from None
