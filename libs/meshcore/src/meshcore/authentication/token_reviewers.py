"""Kubernetes API servers that vouch for tokens, one for each cluster. Nothing of their answers is kept.

A server that is away vouches for nobody: the answer to the caller is the same as for a token that it does not know.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import httpx
import structlog

from meshcore.authentication.proven import ProvenIdentity, TokenRefused
from meshcore.authentication.token_review import PATH, identity_of_review, review_of
from meshcore.authentication.workload_token import LARGEST_TOKEN
from meshcore.errors import ErrorCode, MeshError
from meshcore.http.kubeconfig import Access

TIMEOUT = httpx.Timeout(5.0)
LARGEST_ANSWER = 256 * 1024
SUFFIX = ".kubeconfig"
_log = structlog.get_logger("token-review")


class TokenReviewers:
    """`local` answers for callers that name no cluster or this one; the others for callers that name theirs."""

    def __init__(
        self,
        local: Access | None,
        cluster: str,
        remote: Mapping[str, Access],
        audiences: Collection[str],
        trust_domain: str,
    ) -> None:
        self._servers = dict(remote) | ({} if local is None else {"": local, cluster: local})
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._audiences = audiences
        self._trust_domain = trust_domain

    @classmethod
    def of_files(
        cls, local: Path | None, cluster: str, remote: Path | None, audiences: Collection[str], trust_domain: str
    ) -> "TokenReviewers | None":
        """From a kubeconfig and a folder of `CLUSTER.kubeconfig`; None without either."""
        if local is None and remote is None:
            return None
        if remote is not None and not remote.is_dir():
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"{remote} is no folder of kubeconfigs")
        files = () if remote is None else sorted(remote.glob(f"*{SUFFIX}"))
        found = {file.name.removesuffix(SUFFIX): Access.of_kubeconfig(file) for file in files}
        here = None if local is None else Access.of_kubeconfig(local)
        return cls(here, cluster, found, audiences, trust_domain)

    async def review(self, token: str, cluster: str) -> ProvenIdentity:
        """The service account that the cluster's API server knows the token as; TokenRefused otherwise."""
        if len(token) > LARGEST_TOKEN:
            raise TokenRefused("the token is too large")
        server = self._servers.get(cluster)
        if server is None:
            raise TokenRefused("no API server is known for the caller's cluster")
        client = self._clients.get(cluster)
        if client is None:
            client = self._clients[cluster] = server.client(TIMEOUT)
        try:
            async with client.stream("POST", PATH, json=review_of(token, self._audiences)) as answer:
                if answer.status_code not in (200, 201):
                    raise TokenRefused(f"the API server answered {answer.status_code}")
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > LARGEST_ANSWER:
                        raise TokenRefused("the API server answered with too much")
            document = json.loads(body)
        except (httpx.HTTPError, OSError, ValueError) as error:
            _log.warning("token not reviewed", cluster=cluster, error=type(error).__name__)
            raise TokenRefused("the API server did not answer") from None
        return identity_of_review(document, self._audiences, self._trust_domain)

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
