"""Starts what proves callers of a service, as its settings say."""

from pathlib import Path
from typing import Any

from meshcore.authentication.call_proofs import CallProofs
from meshcore.authentication.settings import ProofSettings
from meshcore.authentication.token_keys import TokenIssuer, TokenKeys
from meshcore.authentication.token_reviewers import TokenReviewers
from meshcore.authentication.workload_token import TokenRules
from meshcore.runtime import Runtime
from meshcore.tls import LiveIdentity, ssl_client_context

KEYS_CONDITION = "token-keys"


def start_call_proofs(
    runtime: Runtime[Any], identity: LiveIdentity, galley_token: Path, copy: str, *, needed: bool, keeps: bool = True
) -> CallProofs:
    """The proofs of this service; keys of the token issuer are fetched for as long as it runs.

    With `needed` it is not ready before it has some: from its copy on disk, or from the issuer. `galley_token` opens
    discovery where no setting says otherwise; `copy` is the name of the file of keys in the state directory, which one
    of the processes that share it `keeps`.
    """
    settings: ProofSettings = runtime.settings
    reviewers = TokenReviewers.of_files(
        settings.kubeconfig,
        settings.cluster_id,
        settings.remote_kubeconfigs,
        settings.token_audiences,
        settings.trust_domain,
    )
    if reviewers is not None:
        runtime.on_stop("token reviewers", reviewers.close)
    keys = rules = None
    if settings.token_issuer is not None:
        source = TokenIssuer(
            issuer=settings.token_issuer,
            tls=ssl_client_context(identity),
            discovery_url=settings.token_discovery_url,
            jwks_url=settings.token_jwks_url,
            token_file=settings.token_file or galley_token,
        )
        keys = TokenKeys(source, None if settings.state_dir is None else settings.state_dir / copy, keeps=keeps)
        runtime.spawn("token keys", keys.run)
        if needed:
            _expect(runtime, keys)
        rules = TokenRules(settings.token_issuer, settings.token_audiences, settings.trust_domain)
    return CallProofs(
        settings.trust_domain, keys=keys, rules=rules, reviewers=reviewers, gateways=settings.trusted_gateway_cidr
    )


def _expect(runtime: Runtime[Any], keys: TokenKeys) -> None:
    async def announce() -> None:
        await keys.loaded.wait()
        runtime.readiness.set(KEYS_CONDITION, True)

    runtime.readiness.expect(KEYS_CONDITION)
    runtime.spawn("token keys loaded", announce, restart=False)
