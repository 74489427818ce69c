"""Kubernetes API servers that vouch for tokens, one for each cluster.

A server that is away vouches for nobody: the answer to the caller is the same as for a token that it does not know.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import httpx
import structlog

from meshcore.authentication.proven import ProvenIdentity, TokenRefused
from meshcore.authentication.token_review import PATH, identity_of_review, review_of
from meshcore.authentication.workload_token import LARGEST_TOKEN
from meshcore.errors import ErrorCode, MeshError
from meshcore.http.kubeconfig import Access
from meshcore.http.reviews import TIMEOUT, NoVerdict, ask_review

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
            document = await ask_review(client, PATH, review_of(token, self._audiences))
        except NoVerdict as error:
            _log.warning("token not reviewed", cluster=cluster, reason=str(error))
            raise TokenRefused(str(error)) from None
        return identity_of_review(document, self._audiences, self._trust_domain)

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
