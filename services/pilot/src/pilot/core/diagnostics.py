"""What of the config could not be honoured, in words for the person who wrote it. Pure."""

from dataclasses import dataclass
from enum import StrEnum

GATEWAY_REFUSALS = frozenset({"gateway-server-refused", "gateway-server-name-taken"})
"""Codes that tell of a part of a Gateway which is left out."""
HOST_TWICE = "host-twice"
"""The code of a VirtualService that has no say over a host because another one comes before it."""


class Severity(StrEnum):
    """How bad it is for traffic."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One thing that does not do what its author will expect.

    `config` is the path of the object that is at fault (`/apis/<group>/<version>/namespaces/<ns>/<kind>/<name>`),
    `code` a constant name for tables and metrics, `message` a whole sentence with the particulars.
    """

    code: str
    config: str
    message: str
    severity: Severity = Severity.WARNING

    @property
    def config_name(self) -> str:
        """`namespace/name` of the object."""
        parts = self.config.split("/")
        return f"{parts[-3]}/{parts[-1]}" if len(parts) > 3 else self.config
