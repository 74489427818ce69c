"""Whether a workload token is good: a TokenReview, as an API server answers it. Pure.

The audiences that the asker names must be those that the token is for; without any, the issuer's own name is meant.
Whether the service account is still there is the store's to say, by the uid in the token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from galley.core.kube_api import status
from galley.core.workload_tokens import SigningKey

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
LARGEST_TOKEN = 16 * 1024


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A token that is good in itself: the account that it names, by uid, and for which of the named audiences."""

    namespace: str
    name: str
    uid: str
    token_id: str
    audiences: tuple[str, ...]


def review(document: Mapping[str, Any], key: SigningKey, issuer: str, now: datetime) -> Reviewed | None:
    """What a TokenReview's token says; None for a token that is not good. 400 when the review is not one."""
    spec = document.get("spec")
    token = spec.get("token") if isinstance(spec, Mapping) else None
    asked = (spec.get("audiences") or [issuer]) if isinstance(spec, Mapping) else []
    if not isinstance(token, str) or not token:
        raise status.bad_request("spec.token is required")
    if not isinstance(asked, list) or not all(isinstance(item, str) for item in asked):
        raise status.bad_request("spec.audiences is not a list of names")
    claims = key.claims_of(token) if len(token) <= LARGEST_TOKEN else None
    if claims is None or claims.get("iss") != issuer:
        return None
    moment = now.timestamp()
    if not claims["nbf"] <= moment < claims["exp"]:
        return None
    shared = tuple(name for name in asked if name in claims["aud"])
    account = claims["kubernetes.io"]
    return (
        Reviewed(
            account["namespace"],
            account["serviceaccount"]["name"],
            account["serviceaccount"]["uid"],
            claims["jti"],
            shared,
        )
        if shared
        else None
    )


def status_of(found: Reviewed | None) -> dict[str, Any]:
    """The status of the answer; None when the token is not good, or its account is gone."""
    if found is None:
        return {"authenticated": False, "user": {}, "error": "the token is not valid here"}
    return {
        "authenticated": True,
        "audiences": list(found.audiences),
        "user": {
            "username": f"system:serviceaccount:{found.namespace}:{found.name}",
            "uid": found.uid,
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{found.namespace}", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={found.token_id}"]},
        },
    }
