"""Which form of a reply the caller takes: the object, a Table, metadata alone, or aggregated discovery."""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from galley.core.kube_api import status

_JSON_TYPES = frozenset({"application/json", "application/*", "*/*", ""})
OFFERED = ("application/json", "application/yaml")


class Form(Enum):
    """How an object or a list is shown."""

    OBJECT = "object"
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class _MediaRange:
    media_type: str
    parameters: dict[str, str]


@lru_cache(64)
def choose_form(accept: str) -> Form:
    """The first form in the caller's order that we can make; 406 when there is none."""
    for wanted in _ranges(accept):
        if wanted.media_type == "application/yaml":
            return Form.YAML
        if wanted.media_type not in _JSON_TYPES:
            continue
        shown_as = wanted.parameters.get("as", "")
        if not shown_as:
            return Form.OBJECT
        if wanted.parameters.get("g") != "meta.k8s.io" or wanted.parameters.get("v") not in ("v1", "v1beta1"):
            continue
        if shown_as == "Table":
            return Form.TABLE
        if shown_as in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Form.METADATA
    raise status.not_acceptable(OFFERED)


def aggregated_discovery_version(accept: str) -> str | None:
    """`v2` or `v2beta1` when the caller asks for aggregated discovery before anything else, else None."""
    for wanted in _ranges(accept):
        if wanted.parameters.get("as") == "APIGroupDiscoveryList":
            if wanted.parameters.get("v") in ("v2", "v2beta1"):
                return wanted.parameters["v"]
        elif wanted.media_type in _JSON_TYPES:
            return None
    return None


def _ranges(accept: str) -> list[_MediaRange]:
    found = []
    for part in (accept or "*/*").split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        found.append(_MediaRange(media_type.lower(), {key.strip(): value.strip() for key, _, value in pairs}))
    return found
