"""The credentials that gateways refer to: whether they are there, and whether they can be used now."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.analyzers.gateways import selector_not_found
from galley.core.analysis.fix import KnownNames, use_instead
from galley.core.analysis.inputs import Inputs, selector_text
from galley.core.analysis.kinds import GATEWAY, POD, SECRET, WORKLOAD_ENTRY, WORKLOAD_GROUP
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import INVALID_CREDENTIAL, NOT_FOUND
from galley.core.analysis.reading import mapping, mappings, string_map, text
from galley.core.analysis.resource import Resource

_KEYS = (("cert", "key"), ("tls.crt", "tls.key"))
"""Names of certificate and key in a Secret: generic, and of type kubernetes.io/tls."""


def check_secrets(inputs: Inputs, moment: Moment) -> Iterator[Message]:
    """Credentials that are missing in the namespace of the gateway's workloads, or not valid."""
    homes: dict[str, str | None] = {}
    known: dict[str, KnownNames] = {}
    for gateway in inputs.of(GATEWAY):
        selector = string_map(gateway.spec, "selector")
        key = selector_text(selector)
        if key not in homes:
            homes[key] = _home(selector, inputs)
        namespace = homes[key]
        if namespace is None:
            yield selector_not_found(gateway, selector)
            continue
        for index, server in mappings(gateway.spec, "servers"):
            if name := text(server, "tls", "credentialName"):
                secret = _find(inputs, namespace, name)
                if secret is None:
                    if namespace not in known:
                        known[namespace] = KnownNames(
                            one.name for one in inputs.of(SECRET) if one.namespace == namespace
                        )
                    yield _missing(gateway, index, name, known[namespace])
                elif not _is_valid(secret, moment):
                    line = gateway.line_of(_path(index))
                    yield Message(INVALID_CREDENTIAL, gateway, (gateway.name, namespace), line)


def _home(selector: Mapping[str, str], inputs: Inputs) -> str | None:
    """The namespace of the first workload with these labels."""
    for pod in inputs.of(POD):
        if selects(selector, pod.labels):
            return pod.namespace
    for kind in (WORKLOAD_ENTRY, WORKLOAD_GROUP):
        for workload in inputs.of(kind):
            if inputs.selects_workload(selector, workload.namespace):
                return workload.namespace
    return None


def _find(inputs: Inputs, namespace: str, name: str) -> Resource | None:
    home, _, local = name.rpartition("/")
    return inputs.find(SECRET, home or namespace, local)


def _path(index: int) -> str:
    return f"spec.servers[{index}].tls.credentialName"


def _missing(gateway: Resource, index: int, name: str, known: KnownNames) -> Message:
    fix = use_instead(name, known, "spec", "servers", index, "tls", "credentialName")
    return Message(NOT_FOUND, gateway, ("credentialName", name), gateway.line_of(_path(index)), fix)


def _is_valid(secret: Resource, moment: Moment) -> bool:
    """Whether there are certificate and key, and the first certificate can be read and is valid now."""
    data = _data(secret)
    chain = next((data[cert] for cert, key in _KEYS if data.get(cert) and data.get(key)), b"")
    try:
        leaf = x509.load_pem_x509_certificate(chain)
    except ValueError:
        return False
    now = datetime.fromtimestamp(moment.now, UTC)
    return leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc


def _data(secret: Resource) -> Mapping[str, bytes]:
    """The secret's values; `stringData` wins, as it does when the Secret is applied."""
    found = {key: _decoded(value) for key, value in mapping(secret.body, "data").items()}
    return found | {key: text.encode() for key, text in string_map(secret.body, "stringData").items()}


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value) if isinstance(value, str | bytes) else b""
    except (binascii.Error, ValueError):
        return b""
