"""The Secrets of Pilot's that an Envoy uses, as its agent keeps them for a start without Pilot. Pure."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.xds.secret_names import OF_PILOT, is_of_pilot

from envoy_bootstrap.core.discovery import Versioned
from envoy_bootstrap.core.last_good import dynamic


def secrets_in_use(dump: str) -> frozenset[str]:
    """The names that the listeners and clusters of a config dump refer to and Pilot serves, whether they are there or
    not. What only drains counts no more."""
    if not any(prefix in dump for prefix in OF_PILOT):
        return frozenset()
    sections = json.loads(dump).get("configs", [])
    return frozenset(name for section in sections for _, _, _, body in dynamic(section) for name in _references(body))


def _references(body: Any) -> Iterator[str]:
    if isinstance(body, list):
        for item in body:
            yield from _references(item)
    elif isinstance(body, dict):
        name = body.get("name")
        if "sds_config" in body and isinstance(name, str) and is_of_pilot(name):
            yield name
        for item in body.values():
            yield from _references(item)


def secrets_to_bytes(held: Mapping[str, Versioned]) -> bytes:
    """To be sealed: there are private keys in it."""
    document = {name: [one.version, b64encode(one.body).decode()] for name, one in held.items()}
    return json.dumps(document, sort_keys=True).encode()


def secrets_from_bytes(content: bytes) -> dict[str, Versioned]:
    """The reverse; INVALID for anything else."""
    try:
        document = json.loads(content)
        return {str(name): Versioned(str(version), b64decode(body)) for name, (version, body) in document.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise MeshError(ErrorCode.INVALID, "the stored secrets cannot be read") from error
