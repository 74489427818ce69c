"""Bodies of requests: JSON, YAML or the few protobuf messages, by Content-Type; patches by theirs.

kubectl 1.20 sends some JSON without any Content-Type. Keys that stand twice are reported with their paths, because
strict validation refuses them and everything else keeps the last one.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from meshcore.errors import MeshError
from meshcore.model.load import check_nesting, check_scalars, load_yaml_documents
from meshcore.model.validation import field_path

from galley.core.kube_api import protobuf_body, status

LARGEST = 3 * 1024 * 1024
_OPENERS_WITHOUT_DOUBT = 100
"""Brackets that do not make a body that is nested too deeply."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")


class PatchType(StrEnum):
    """The languages of patches, by media type."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded body and the paths of keys that it has twice."""

    document: Any
    duplicates: tuple[str, ...] = ()


class _Repeating(dict[str, Any]):
    """An object of which some keys came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.twice = tuple(dict.fromkeys(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:80]} is more than a number can be")
    return number


def decode_json(body: bytes) -> Body:
    """Read JSON; 400 when it is none."""
    repeating: list[_Repeating] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        repeating.append(_Repeating(pairs))
        return repeating[-1]

    try:
        document = json.loads(
            body.decode(), object_pairs_hook=object_of, parse_constant=_no_constant, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise status.bad_request(f"the body is not JSON: {error}") from error
    if body.count(b"[") + body.count(b"{") > _OPENERS_WITHOUT_DOUBT:
        try:
            check_nesting(document)
        except MeshError as error:
            raise status.bad_request(f"the body is refused: {error}") from error
    if _SURROGATE.search(body):
        _refuse_half_characters(document)
    return Body(document, tuple(field_path(path) for path in _duplicates(document, ())) if repeating else ())


def _refuse_half_characters(document: Any) -> None:
    """`\\ud800` without its other half is no character: nothing behind this could write it as UTF-8."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise status.bad_request("the body is not JSON: a string has half of a surrogate pair") from None


def _duplicates(value: Any, path: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
    found = [(*path, key) for key in value.twice] if isinstance(value, _Repeating) else []
    parts: Sequence[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value))
    for key, item in parts:
        if isinstance(item, dict | list):
            found += _duplicates(item, (*path, key))
    return found


def decode_object(content_type: str, body: bytes) -> Body:
    """Read an object of a create or replace; 415 for a media type that is none of ours."""
    media_type = media_type_of(content_type)
    if media_type in ("", "application/json"):
        return decode_json(body)
    if media_type in _YAML_TYPES:
        try:
            documents = load_yaml_documents(body.decode(), "body")
            for document in documents:
                check_scalars(document.body)
        except (MeshError, UnicodeDecodeError) as error:
            raise status.bad_request(f"the body is not YAML: {error}") from error
        if len(documents) != 1:
            raise status.bad_request(f"the body has {len(documents)} YAML documents instead of one")
        return Body(documents[0].body)
    if media_type == protobuf_body.MEDIA_TYPE:
        return Body(protobuf_body.decode_body(body))
    raise status.unsupported_media(("application/json", "application/yaml"))


def decode_configuration(body: bytes) -> Body:
    """Read an applied configuration: YAML, of which JSON (all that kubectl sends) is a part."""
    if body.lstrip()[:1] in (b"{", b""):
        return decode_json(body)
    return decode_object(_YAML_TYPES[0], body)


def patch_type_of(content_type: str, *, strategic: bool, apply: bool = False) -> PatchType:
    """The language of a patch; 415 for one that is not taken there (custom resources take no strategic ones)."""
    offered = [PatchType.JSON, PatchType.MERGE]
    offered += [PatchType.STRATEGIC] if strategic else []
    offered += [PatchType.APPLY] if apply else []
    media_type = media_type_of(content_type)
    for offer in offered:
        if media_type == offer.value:
            return offer
    raise status.unsupported_media([offer.value for offer in offered])


def media_type_of(content_type: str) -> str:
    """`application/json; charset=utf-8` -> `application/json`."""
    return content_type.partition(";")[0].strip().lower()
