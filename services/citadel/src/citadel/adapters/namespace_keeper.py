"""Keeps the public root, and key pairs where they are asked for, in the namespaces of a Kubernetes API.

Looks every few seconds and whenever the authority changes, and mends what is missing, edited or old. Replicas may all
do it: a write that another one was faster with is refused by the server and looked at again.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.errors import MeshError
from meshcore.http.kubeconfig import Access
from meshcore.identity import SpiffeId

from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.issuer import Issuer
from citadel.core import namespace_objects as objects
from citadel.core.caller import AuthenticatedCaller, Proof, serial_text
from citadel.core.profile import Profile

LOOK_EVERY = 5.0
TIMEOUT = httpx.Timeout(10.0)
PAGE = 500
_CONFLICT = (404, 409)
_log = structlog.get_logger("namespaces")
_Objects = dict[tuple[str, str], dict[str, Any]]


class NamespaceKeeper:
    """`key_pairs` is None where no Secrets are wanted, else the profile of their certificates."""

    def __init__(
        self,
        access: Access,
        in_force: AuthorityInForce,
        issuer: Issuer,
        trust_domain: str,
        root_namespace: str,
        key_pairs: Profile | None,
    ) -> None:
        self._access = access
        self._in_force = in_force
        self._issuer = issuer
        self._trust_domain = trust_domain
        self._root_namespace = root_namespace
        self._key_pairs = key_pairs

    async def run(self) -> None:
        """Never returns."""
        changed = asyncio.Event()
        self._in_force.on_change(lambda *_: changed.set())
        async with self._access.client(TIMEOUT) as client:
            while True:
                changed.clear()
                try:
                    await self.look(client)
                except (httpx.HTTPError, OSError, ValueError, KeyError, MeshError) as error:
                    _log.warning("namespaces not looked at", error=type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await changed.wait()

    async def look(self, client: httpx.AsyncClient) -> None:
        """Mend everything once."""
        namespaces = await _list(client, "/api/v1/namespaces")
        public = [name for (_, name), namespace in namespaces.items() if objects.wants_root(namespace)]
        authority = self._in_force.current
        await self._keep_maps(client, public, objects.ROOT_MAP, objects.ROOT_KEY, authority.bundle_pem)
        await self._keep_maps(client, public, objects.CRL_MAP, objects.CRL_KEY, authority.revoked_pem)
        if self._key_pairs is not None:
            wanted = {
                name for (_, name), one in namespaces.items() if objects.wants_key_pairs(one, self._root_namespace)
            }
            for name in sorted(wanted):
                await self._keep_key_pairs(client, name, self._key_pairs)

    async def _keep_maps(
        self, client: httpx.AsyncClient, namespaces: Iterable[str], name: str, key: str, pem: str
    ) -> None:
        """One ConfigMap in each namespace; nowhere when there is nothing to say."""
        maps = await _list(client, "/api/v1/configmaps", fieldSelector=f"metadata.name={name}")
        for namespace in namespaces:
            present = maps.get((namespace, name))
            base = f"/api/v1/namespaces/{namespace}/configmaps"
            if not pem:
                if present is not None:
                    await client.delete(f"{base}/{name}")
                continue
            document = objects.config_map(namespace, name, key, pem, present)
            if document is not None:
                await _write(client, base, document, present is None)

    async def _keep_key_pairs(self, client: httpx.AsyncClient, namespace: str, profile: Profile) -> None:
        base = f"/api/v1/namespaces/{namespace}"
        accounts = {name for _, name in await _list(client, f"{base}/serviceaccounts")}
        secrets = await _list(client, f"{base}/secrets")
        for (_, name), secret in secrets.items():
            if objects.is_ours(secret) and objects.account_of(secret) not in accounts:
                await client.delete(f"{base}/secrets/{name}")
                _log.info("key pair of a service account that is gone deleted", namespace=namespace, secret=name)
        authority, now = self._in_force.current, datetime.now(UTC)
        for account in sorted(accounts):
            present = secrets.get((namespace, objects.secret_name(account)))
            if present is not None and not objects.is_ours(present):
                continue
            if present is not None and objects.is_current(present, authority.bundle_pem, authority.certificate, now):
                continue
            pair = await self._pair(namespace, account, present, profile)
            document = objects.key_pair_secret(namespace, account, pair, present)
            await _write(client, f"{base}/secrets", document, present is None)
            _log.info("key pair of a service account written", namespace=namespace, account=account)

    async def _pair(
        self, namespace: str, account: str, present: Mapping[str, Any] | None, profile: Profile
    ) -> dict[str, bytes]:
        former = None if present is None else objects.serial_of(present)
        identity = SpiffeId(self._trust_domain, namespace, account)
        proof_serial = "" if former is None else serial_text(former)
        caller = AuthenticatedCaller(identity, Proof.ACCOUNT, proof_serial=proof_serial)
        key = ec.generate_private_key(ec.SECP256R1())
        issued = await self._issuer.issue(caller, key.public_key(), profile, profile.default_ttl, "namespace keeper")
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = "".join(issued.chain).encode()
        return {"cert-chain.pem": chain, "key.pem": pem, objects.ROOT_KEY: issued.bundle.encode()}


async def _list(client: httpx.AsyncClient, path: str, **query: str) -> _Objects:
    """Every object by namespace and name, page after page."""
    found: _Objects = {}
    asked = dict(query) | {"limit": str(PAGE)}
    while True:
        answer = (await client.get(path, params=asked)).raise_for_status().json()
        for item in answer.get("items") or []:
            found[item["metadata"].get("namespace", ""), item["metadata"]["name"]] = item
        if not (token := (answer.get("metadata") or {}).get("continue")):
            return found
        asked["continue"] = token


async def _write(client: httpx.AsyncClient, path: str, document: Mapping[str, Any], new: bool) -> None:
    name = document["metadata"]["name"]
    answer = await (client.post(path, json=document) if new else client.put(f"{path}/{name}", json=document))
    if answer.status_code not in _CONFLICT:  # another replica was faster, or the namespace goes: the next look decides
        answer.raise_for_status()
