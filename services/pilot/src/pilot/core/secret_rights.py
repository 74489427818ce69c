"""Who may have Secrets over ADS: whoever may list those of its namespace, as a Kubernetes API server says. Pure.

As Istio asks: `list secrets` in the proxy's namespace for `system:serviceaccount:<namespace>:<name>`. Roots (`-cacert`,
`configmap://`) are no secrets and need no right. Without an API server every proven proxy has those of its namespace.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.xds.secret_names import CONFIG_MAP, secret_reference

ALLOWED_FOR = 300.0
DENIED_FOR = 60.0
"""Seconds until it is asked again, as in Istio."""
Account = tuple[str, str]
"""Namespace and service account of a proven proxy."""
PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def review_of(account: Account) -> dict[str, Any]:
    """What the API server is asked."""
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{account[0]}:{account[1]}",
            "resourceAttributes": {"namespace": account[0], "verb": "list", "resource": "secrets"},
        },
    }


def allowed_by(answer: object) -> bool | None:
    """What the API server says; None when it says nothing of the kind."""
    status = answer.get("status") if isinstance(answer, Mapping) else None
    if not isinstance(status, Mapping) or not isinstance(status.get("allowed"), bool):
        return None
    return status["allowed"] and status.get("denied") is not True


@dataclass(slots=True)
class SecretRights:
    """What is known of accounts. `guarded`: there is an API server to ask."""

    guarded: bool = False
    _known: dict[Account, bool] = field(default_factory=dict)
    _until: dict[Account, float] = field(default_factory=dict)

    def names_for(self, account: Account, names: frozenset[str]) -> frozenset[str]:
        """Those of the names of resources that the account may have. Who was not asked about yet may have roots."""
        if not self.guarded or self._known.get(account, False):
            return names
        return frozenset(name for name in names if _is_root(name, account[0]))

    def due(self, accounts: Iterable[Account], now: float) -> list[Account]:
        """Those that are to be asked about now."""
        return sorted(one for one in set(accounts) if self._until.get(one, now) <= now) if self.guarded else []

    def next_due(self, accounts: Iterable[Account]) -> float | None:
        """When one of them is to be asked about again; None when none is."""
        return min((self._until[one] for one in set(accounts) if one in self._until), default=None)

    def take(self, account: Account, allowed: bool, now: float) -> bool:
        """An answer; whether it changes anything."""
        changed = self._known.get(account, False) != allowed
        self._known[account] = allowed
        self._until[account] = now + (ALLOWED_FOR if allowed else DENIED_FOR)
        return changed

    def postpone(self, account: Account, now: float) -> None:
        """There was no answer: what was decided stays, and it is asked again as if it had been denied."""
        self._until[account] = now + DENIED_FOR

    def forget(self, accounts: Iterable[Account], now: float) -> None:
        """Only these are left, and what still holds: a proxy that comes again is not asked about again."""
        left = {*accounts, *(one for one, until in self._until.items() if until > now)}
        self._known = {one: allowed for one, allowed in self._known.items() if one in left}
        self._until = {one: until for one, until in self._until.items() if one in left}


def _is_root(name: str, namespace: str) -> bool:
    reference = secret_reference(name, namespace)
    return name.startswith(CONFIG_MAP) or (reference is not None and reference.ca)
