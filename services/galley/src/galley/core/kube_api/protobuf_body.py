"""Protobuf bodies of kubectl's typed requests: `create namespace`, `configmap`, `secret`, `ingress`, `auth ...`.

kubectl 1.32 and later sends these in protobuf with no way back, so this much is read: the envelope `k8s\\0` + Unknown,
ObjectMeta, the maps of a ConfigMap, the specs of an Ingress, of a TokenRequest and of reviews. Everything else comes
as JSON.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from galley.core.kube_api import status

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

Fields = Iterator[tuple[int, int | bytes]]


def decode_body(body: bytes) -> dict[str, Any]:
    """The object in the envelope as a JSON document; 400 when it is broken, 415 for a kind that is not read here."""
    if not body.startswith(_MAGIC):
        raise status.bad_request("the body is not a Kubernetes protobuf envelope")
    try:
        return _decode_unknown(body[len(_MAGIC) :])
    except (IndexError, ValueError, AttributeError, TypeError) as error:
        raise status.bad_request("the body is not a well-formed protobuf message") from error


def _decode_unknown(body: bytes) -> dict[str, Any]:
    api_version = kind = ""
    raw = b""
    for number, value in _fields(body):
        if number == 1:
            for inner, text in _fields(_bytes(value)):
                api_version, kind = (_text(text), kind) if inner == 1 else (api_version, _text(text))
        elif number == 2:
            raw = _bytes(value)
    decode = _KINDS.get((api_version, kind))
    if decode is None:
        raise status.unsupported_media(["application/json", "application/yaml"])
    return {"apiVersion": api_version, "kind": kind, **decode(raw)}


def _object_meta(body: bytes) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    for number, value in _fields(body):
        if number in _META_TEXTS and value:
            meta[_META_TEXTS[number]] = _text(value)
        elif number in _META_MAPS:
            key, text = _entry(_bytes(value))
            meta.setdefault(_META_MAPS[number], {})[key] = text.decode()
    return meta


_META_TEXTS = {1: "name", 2: "generateName", 3: "namespace"}
_META_MAPS = {11: "labels", 12: "annotations"}


def _only_metadata(raw: bytes) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for number, value in _fields(raw):
        if number == 1:
            metadata = _object_meta(_bytes(value))
    return {"metadata": metadata}


def _config_map(raw: bytes) -> dict[str, Any]:
    result = _only_metadata(raw)
    for number, value in _fields(raw):
        if number == 2:
            key, text = _entry(_bytes(value))
            result.setdefault("data", {})[key] = text.decode()
        elif number == 3:
            key, text = _entry(_bytes(value))
            result.setdefault("binaryData", {})[key] = base64.b64encode(text).decode()
        elif number == 4:
            result["immutable"] = bool(value)
    return result


def _secret(raw: bytes) -> dict[str, Any]:
    result = _only_metadata(raw)
    for number, value in _fields(raw):
        if number == 2:
            key, content = _entry(_bytes(value))
            result.setdefault("data", {})[key] = base64.b64encode(content).decode()
        elif number == 3:
            result["type"] = _text(value)
        elif number == 4:
            key, content = _entry(_bytes(value))
            result.setdefault("stringData", {})[key] = content.decode()
        elif number == 5:
            result["immutable"] = bool(value)
    return result


def _ingress(raw: bytes) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for inner, part in _parts(raw, 2):
        if inner == 1:
            spec["defaultBackend"] = _ingress_backend(_bytes(part))
        elif inner == 2:
            names = [_text(host) for number, host in _fields(_bytes(part)) if number == 1]
            spec.setdefault("tls", []).append({"hosts": names, **_texts(_bytes(part), {2: "secretName"})})
        elif inner == 3:
            paths = [_ingress_path(_bytes(path)) for number, path in _http_of(_bytes(part)) if number == 1]
            http = {"http": {"paths": paths}} if paths else {}
            spec.setdefault("rules", []).append({**_texts(_bytes(part), {1: "host"}), **http})
        elif inner == 4:
            spec["ingressClassName"] = _text(part)
    return {**_only_metadata(raw), "spec": spec}


def _http_of(rule: bytes) -> Fields:
    for number, value in _parts(rule, 2):
        if number == 1:
            yield from _fields(_bytes(value))


def _ingress_path(body: bytes) -> dict[str, Any]:
    made: dict[str, Any] = _texts(body, {1: "path", 3: "pathType"})
    for number, value in _fields(body):
        if number == 2:
            made["backend"] = _ingress_backend(_bytes(value))
    return made


def _ingress_backend(body: bytes) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for number, value in _fields(body):
        if number == 3:
            made["resource"] = _texts(_bytes(value), {1: "apiGroup", 2: "kind", 3: "name"})
        elif number == 4:
            service: dict[str, Any] = _texts(_bytes(value), {1: "name"})
            service["port"] = {
                "number" if inner == 2 else "name": part if inner == 2 else _text(part)
                for inner, part in _parts(_bytes(value), 2)
                if part
            }
            made["service"] = service
    return made


def _token_request(raw: bytes) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for inner, part in _parts(raw, 2):
        if inner == 1:
            spec.setdefault("audiences", []).append(_text(part))
        elif inner == 3:
            spec["boundObjectRef"] = {"present": True}
        elif inner == 4:
            spec["expirationSeconds"] = part
    return {**_only_metadata(raw), "spec": spec}


_RESOURCE_ATTRIBUTES = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}
_OTHER_ATTRIBUTES = {1: "path", 2: "verb"}


def _access_review(raw: bytes) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for inner, part in _parts(raw, 2):
        if inner == 1:
            spec["resourceAttributes"] = _texts(_bytes(part), _RESOURCE_ATTRIBUTES)
        elif inner == 2:
            spec["nonResourceAttributes"] = _texts(_bytes(part), _OTHER_ATTRIBUTES)
    return {**_only_metadata(raw), "spec": spec}


def _rules_review(raw: bytes) -> dict[str, Any]:
    names = [_text(part) for inner, part in _parts(raw, 2) if inner == 1]
    return {**_only_metadata(raw), "spec": {"namespace": names[-1] if names else ""}}


def _parts(body: bytes, number: int) -> Fields:
    """The fields of each message that is field `number`."""
    for found, value in _fields(body):
        if found == number:
            yield from _fields(_bytes(value))


def _texts(body: bytes, names: Mapping[int, str]) -> dict[str, str]:
    return {names[number]: _text(value) for number, value in _fields(body) if number in names}


_KINDS: dict[tuple[str, str], Callable[[bytes], dict[str, Any]]] = {
    ("v1", "Namespace"): _only_metadata,
    ("v1", "ServiceAccount"): _only_metadata,
    ("v1", "ConfigMap"): _config_map,
    ("v1", "Secret"): _secret,
    ("networking.k8s.io/v1", "Ingress"): _ingress,
    ("authentication.k8s.io/v1", "TokenRequest"): _token_request,
    ("authentication.k8s.io/v1", "SelfSubjectReview"): _only_metadata,
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _access_review,
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): _rules_review,
}


def _entry(body: bytes) -> tuple[str, bytes]:
    key, value = "", b""
    for number, part in _fields(body):
        key, value = (_text(part), value) if number == 1 else (key, _bytes(part))
    return key, value


def _fields(body: bytes) -> Fields:
    """Field number and value of each field, in order; wire types 0 (varint), 1, 2 (bytes) and 5."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        wire = tag & 7
        if wire == 0:
            number, at = _varint(body, at)
            yield tag >> 3, number
            continue
        size, at = _varint(body, at) if wire == 2 else ({1: 8, 5: 4}[wire] if wire in (1, 5) else -1, at)
        if size < 0 or at + size > len(body):
            raise ValueError("truncated field")
        yield tag >> 3, body[at : at + size]
        at += size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = body[at]
        at += 1
        result |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return result, at
        if shift > 63:
            raise ValueError("varint too long")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("bytes expected")
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()
