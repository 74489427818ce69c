"""Keys, sizes and what the type of a Secret asks for. No message has a value in it."""

import base64
import binascii
import re

from meshcore.model.cluster import Secret

from galley.core.rules.report import Report

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MEBIBYTE = 1024 * 1024
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
}
_BASIC_AUTH = "kubernetes.io/basic-auth"
_TOKEN = "kubernetes.io/service-account-token"
_ACCOUNT = "kubernetes.io/service-account.name"


def validate(secret: Secret, report: Report) -> None:
    """Errors in keys, encoding, size, and keys that the type needs."""
    size = 0
    for key, text in secret.data.items():
        if not _KEY.fullmatch(key) or key in (".", ".."):
            report.error(f"data[{key}]", f"{key!r} is not a key", "at most 253 of a-z, A-Z, 0-9, '-', '_', '.'")
        try:
            size += len(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            report.error(f"data[{key}]", "not base64", "base64, or stringData for plain text")
    if size > _MEBIBYTE:
        report.error("data", "more than 1 MiB", f"at most {_MEBIBYTE} bytes")
    for key in _NEEDED.get(secret.type, ()):
        if key not in secret.data:
            report.error(f"data[{key}]", f"required in a Secret of type {secret.type}")
    if secret.type == _BASIC_AUTH and not secret.data.keys() & {"username", "password"}:
        report.error("data", f"a Secret of type {_BASIC_AUTH} has neither", "username or password")
    if secret.type == _TOKEN and not secret.metadata.annotations.get(_ACCOUNT):
        report.error(f"metadata.annotations[{_ACCOUNT}]", f"required in a Secret of type {_TOKEN}")
