"""Whose tokens and gateways a service believes; the same variables for every service that takes them.

Each is `<SERVICE>_<NAME>`; those that Istio has are read under Istio's name too (`told_as`).
"""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator
from pydantic_settings import NoDecode

from meshcore.runtime.settings import ServiceSettings


def told_as(service: str, name: str) -> AliasChoices:
    """A variable of Istio's. A service may also be told alone, under its own prefix, and is not by that of another:
    whom one believes is no other's business."""
    return AliasChoices(f"{service}_{name.upper()}", name.upper(), name)


def split_list(value: object) -> object:
    """The parts of a list that is written with commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Audiences = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(split_list)]


class ProofSettings(ServiceSettings):
    """What a service reads that authenticates callers of its gRPC port by more than their client certificate.

    A service says under which names it is told those that Istio has.
    """

    token_issuer: str | None = None
    """`iss` of workload tokens, an https URL below which OIDC discovery is found; unset: tokens prove nothing."""
    token_discovery_url: str | None = None
    """Where discovery is asked for when that is not the issuer itself."""
    token_jwks_url: str | None = None
    """Where the keys are, when discovery names a host other than its own."""
    token_file: Path | None = None
    """Bearer token that opens discovery; unset: the one for Galley in the identity directory, if it is there."""
    token_audiences: Audiences = ("istio-ca",)
    """Whom a token must be for, one of them."""
    kubeconfig: Path | None = None
    """A Kubernetes API server that reviews tokens (TokenReview); unset: none."""
    remote_kubeconfigs: Path | None = None
    """Folder of `CLUSTER.kubeconfig`: the API servers that review the tokens of other clusters."""
    cluster_id: str = "Kubernetes"
    trusted_gateway_cidr: Networks = ()
    """Whose `x-forwarded-client-cert` is believed; loopback too only when it is named here."""
