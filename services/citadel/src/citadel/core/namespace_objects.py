"""What Citadel keeps in every namespace of a Kubernetes API: the public root, and, where asked for, key pairs. Pure.

    ConfigMap istio-ca-root-cert     root-cert.pem                               in every namespace
    ConfigMap istio-ca-crl           ca-crl.pem                                  in every one, while there are lists
    Secret istio.<service account>   cert-chain.pem, key.pem, root-cert.pem      in namespaces that are labelled for it

The Secrets are those of Istio before 1.5 (`istio.io/key-and-cert`); the label `ca.istio.io/override: "true"`, or
`ca.istio.io/env` with the root namespace's name, asks for them.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from meshcore.rotation import should_rotate

ROOT_MAP = "istio-ca-root-cert"
ROOT_KEY = "root-cert.pem"
CRL_MAP = "istio-ca-crl"
CRL_KEY = "ca-crl.pem"
SECRET_TYPE = "istio.io/key-and-cert"
ACCOUNT = "istio.io/service-account.name"
OVERRIDE = "ca.istio.io/override"
ENVIRONMENT = "ca.istio.io/env"
IGNORED = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
Document = Mapping[str, Any]


def wants_root(namespace: Document) -> bool:
    """Whether the namespace gets the public root: all but Kubernetes' own, and those that are going."""
    metadata = namespace["metadata"]
    return metadata["name"] not in IGNORED and not metadata.get("deletionTimestamp")


def wants_key_pairs(namespace: Document, root_namespace: str) -> bool:
    """Whether its service accounts get Secrets; an explicit word for or against it wins."""
    labels = namespace["metadata"].get("labels") or {}
    if OVERRIDE in labels:
        return wants_root(namespace) and labels[OVERRIDE] == "true"
    return wants_root(namespace) and labels.get(ENVIRONMENT) == root_namespace


def config_map(namespace: str, name: str, key: str, pem: str, present: Document | None) -> dict[str, Any] | None:
    """The ConfigMap to write; None when the present one is right. What else is in it stays."""
    data = {} if present is None else dict(present.get("data") or {})
    if data.get(key) == pem:
        return None
    metadata = {"name": name, "namespace": namespace, "labels": {"istio.io/config": "true"}}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata} if present is None else dict(present)
    return document | {"data": data | {key: pem}}


def secret_name(account: str) -> str:
    """The Secret of a service account."""
    return f"istio.{account}"


def is_ours(secret: Document) -> bool:
    """Whether a Secret is one of these: others of the same name are left alone."""
    return secret.get("type") == SECRET_TYPE


def account_of(secret: Document) -> str:
    """The service account that a Secret says it is for."""
    return str((secret["metadata"].get("annotations") or {}).get(ACCOUNT, ""))


def is_current(secret: Document, bundle: str, signer: x509.Certificate, now: datetime) -> bool:
    """Whether the pair is whole, of the present signer and bundle, and has half of its life before it."""
    data = secret.get("data") or {}
    try:
        chain, key, root = (base64.b64decode(data[name]) for name in ("cert-chain.pem", "key.pem", ROOT_KEY))
        leaf = x509.load_pem_x509_certificates(chain)[0]
        private = serialization.load_pem_private_key(key, None)
        leaf.verify_directly_issued_by(signer)
    except (KeyError, ValueError, TypeError, IndexError, InvalidSignature, UnsupportedAlgorithm):
        return False  # anybody may have written anything into it: it is made anew
    return (
        root.decode(errors="replace") == bundle
        and private.public_key() == leaf.public_key()
        and not should_rotate(now, leaf.not_valid_before_utc, leaf.not_valid_after_utc)
    )


def serial_of(secret: Document) -> int | None:
    """Number of the certificate in it; None when there is none."""
    try:
        chain = base64.b64decode((secret.get("data") or {})["cert-chain.pem"])
        return x509.load_pem_x509_certificates(chain)[0].serial_number
    except (KeyError, ValueError, TypeError, binascii.Error):
        return None


def key_pair_secret(
    namespace: str, account: str, pair: Mapping[str, bytes], present: Document | None
) -> dict[str, Any]:
    """The Secret to write; `pair` has the content of its three keys."""
    document: dict[str, Any] = {} if present is None else dict(present)
    metadata = dict(document.get("metadata") or {"name": secret_name(account), "namespace": namespace})
    annotations = dict(metadata.get("annotations") or {}) | {ACCOUNT: account}
    return document | {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": metadata | {"annotations": annotations},
        "data": {name: base64.b64encode(content).decode() for name, content in pair.items()},
    }
