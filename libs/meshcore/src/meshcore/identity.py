"""Workload identity: SPIFFE ids as Istio writes them.

`spiffe://<trust domain>/ns/<namespace>/sa/<service account>` and nothing else (SPIFFE-ID §2; Istio pkg/spiffe).
"""

import re
from dataclasses import dataclass

from meshcore.errors import ErrorCode, MeshError

_SEGMENT = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")
_TRUST_DOMAIN = re.compile(r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?")


def spiffe_segments(uri: str) -> tuple[str, str, str]:
    """Trust domain, namespace and service account of a URI of that form, whatever they are; INVALID for another."""
    parts = uri.removeprefix("spiffe://").split("/")
    if not uri.startswith("spiffe://") or len(parts) != 5 or parts[1] != "ns" or parts[3] != "sa":
        raise MeshError(
            ErrorCode.INVALID, f"{uri!r} is not an identity of the form spiffe://<trust domain>/ns/<ns>/sa/<sa>"
        )
    return parts[0], parts[2], parts[4]


def trust_domain_name(text: str) -> str:
    """A trust domain as it stands in identities: `@`, which some clouds' accounts have, is a dot there."""
    return text.replace("@", ".")


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """The identity of a workload; `str()` is its URI."""

    trust_domain: str
    namespace: str
    service_account: str

    def __post_init__(self) -> None:
        for name, value, pattern in (
            ("trust domain", self.trust_domain, _TRUST_DOMAIN),
            ("namespace", self.namespace, _SEGMENT),
            ("service account", self.service_account, _SEGMENT),
        ):
            if not pattern.fullmatch(value) or len(value) > 253:
                raise MeshError(ErrorCode.INVALID, f"{value!r} is not a {name} of a SPIFFE id")

    @classmethod
    def parse(cls, uri: str) -> "SpiffeId":
        """Read `spiffe://td/ns/NS/sa/SA`; anything else is INVALID."""
        return cls(*spiffe_segments(uri))

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"
