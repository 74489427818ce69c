"""The Secrets of Pilot's that an Envoy uses, as its agent keeps them for a start without Pilot. Pure."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping

from meshcore.errors import ErrorCode, MeshError
from meshcore.xds.secret_names import OF_PILOT, is_of_pilot

from envoy_bootstrap.core.discovery import Versioned
from envoy_bootstrap.core.last_good import objects_in


def secrets_in_use(dump: str) -> frozenset[str]:
    """The names that the listeners and clusters of a config dump refer to and Pilot serves, whether they are there or
    not. What only drains counts no more."""
    if not any(prefix in dump for prefix in OF_PILOT):
        return frozenset()
    named = (item.get("name") for item in objects_in(dump) if "sds_config" in item)
    return frozenset(name for name in named if isinstance(name, str) and is_of_pilot(name))


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
