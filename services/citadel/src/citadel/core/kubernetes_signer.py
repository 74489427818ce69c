"""The CertificateSigningRequest (certificates.k8s.io/v1) by which a signer of a Kubernetes API is asked. Pure.

signing_object()  what is created        approved()  the same, with this authority's approval
issued_pem()      what has become of it  signer_name()  which signer a caller gets
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from citadel.core.refusal import Reason, SigningRefused

SIGNING_REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
LEAST_LIFE = timedelta(minutes=10)
"""What the API takes as `expirationSeconds` at least."""
LARGEST_CHAIN = 64 * 1024
"""Bytes of PEM that a signer may answer with."""
_USAGES = ("digital signature", "key encipherment", "server auth", "client auth")
_NEEDED = ("name", "resourceVersion")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9./:]*[a-z0-9])?")
_LONGEST_NAME = 571
_LONGEST_REASON = 200
Document = Mapping[str, Any]


def signer_name(asked: str, domain: str, default: str) -> str:
    """`domain/asked` for a caller that names its signer, else the default one.

    CERT_GEN_ERROR when there is no domain, or no default, to make a name of; CSR_ERROR for what can be no name.
    """
    if not asked:
        if not default:
            raise SigningRefused(Reason.CERT_GEN_ERROR, "no signer was asked for, and K8S_SIGNER names none")
        return default
    if not domain:
        raise SigningRefused(Reason.CERT_GEN_ERROR, f"certSignerDomain is required for signer {asked[:64]}")
    name = f"{domain}/{asked}"
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(asked):
        raise SigningRefused(Reason.CSR_ERROR, "the signer that is asked for has no name of a signer")
    return name


def signing_object(request: str, signer: str, life: timedelta) -> dict[str, Any]:
    """The object for a PEM request; TTL_ERROR for a life that the API does not take."""
    if life < LEAST_LIFE:
        least = LEAST_LIFE.total_seconds()
        raise SigningRefused(
            Reason.TTL_ERROR, f"requested TTL {life.total_seconds():.0f}s: signers give {least:.0f}s at least"
        )
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-workload-"},
        "spec": {
            "request": base64.b64encode(request.encode()).decode(),
            "signerName": signer,
            "usages": list(_USAGES),
            "expirationSeconds": int(life.total_seconds()),
        },
    }


def approved(document: Document, identity: str) -> dict[str, Any]:
    """The object with one more condition: that its names are the caller's own has been looked at before."""
    condition = {
        "type": "Approved",
        "status": "True",
        "reason": "MeshIdentityProven",
        "message": f"Citadel has proven that the caller is {identity}",
    }
    status = dict(document.get("status") or {})
    return dict(document) | {"status": status | {"conditions": [*(status.get("conditions") or []), condition]}}


def read_object(document: object) -> dict[str, Any]:
    """What the API says an object is, once it has the parts that are looked at; CERT_GEN_ERROR when it has not."""
    if isinstance(document, dict):
        metadata, status = document.get("metadata"), document.get("status") or {}
        conditions = status.get("conditions") or [] if isinstance(status, dict) else None
        named = isinstance(metadata, dict) and all(isinstance(metadata.get(name), str) for name in _NEEDED)
        if named and isinstance(conditions, list) and all(isinstance(one, dict) for one in conditions):
            return document
    raise SigningRefused(Reason.CERT_GEN_ERROR, "the Kubernetes API answers with something else than a signing request")


def issued_pem(document: Document) -> bytes | None:
    """The chain of a signed object, None while nothing is decided; CERT_GEN_ERROR when it was denied or has failed."""
    status = document.get("status") or {}
    for condition in status.get("conditions") or ():
        kind = condition.get("type")
        if kind in ("Denied", "Failed") and condition.get("status", "True") != "False":
            said = ": ".join(str(condition[name]) for name in ("reason", "message") if condition.get(name))
            raise SigningRefused(
                Reason.CERT_GEN_ERROR,
                f"the signing request was {'denied' if kind == 'Denied' else 'failed by its signer'}"
                f": {said[:_LONGEST_REASON] or 'no reason is given'}",
            )
    encoded = status.get("certificate")
    if not encoded:
        return None
    if not isinstance(encoded, str) or len(encoded) > 2 * LARGEST_CHAIN:
        raise SigningRefused(Reason.CERT_GEN_ERROR, "the signer's answer is too large")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise SigningRefused(Reason.CERT_GEN_ERROR, "the signer's answer is not base64") from None
