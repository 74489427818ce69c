"""A workload token that a Kubernetes API server vouches for: `authentication.k8s.io/v1` TokenReview. Pure."""

from collections.abc import Collection, Mapping
from typing import Any

from meshcore.authentication.proven import ProvenIdentity, TokenRefused, Way
from meshcore.authentication.workload_token import service_account

SERVICE_ACCOUNTS = "system:serviceaccounts"
PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


def review_of(token: str, audiences: Collection[str]) -> dict[str, Any]:
    """What the API server is asked."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": sorted(audiences)},
    }


def identity_of_review(answer: object, audiences: Collection[str], trust_domain: str) -> ProvenIdentity:
    """The service account that the API server knows; TokenRefused says why there is none.

    A server that answers without audiences has not looked at them (Kubernetes, TokenReviewStatus): that proves nothing.
    """
    status = answer.get("status") if isinstance(answer, Mapping) else None
    if not isinstance(status, Mapping) or status.get("authenticated") is not True:
        raise TokenRefused("the API server does not know the token")
    if status.get("error"):
        raise TokenRefused("the API server could not check the token")
    named = status.get("audiences")
    if not isinstance(named, list) or not set(audiences) & {name for name in named if isinstance(name, str)}:
        raise TokenRefused("the token is for another audience")
    user = status.get("user")
    if not isinstance(user, Mapping):
        raise TokenRefused("the API server names no user")
    groups = user.get("groups")
    if not isinstance(groups, list) or SERVICE_ACCOUNTS not in groups:
        raise TokenRefused("the token is not a service account's")
    return ProvenIdentity(service_account(user.get("username"), trust_domain), Way.REVIEW)
