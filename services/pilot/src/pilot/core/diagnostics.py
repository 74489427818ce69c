"""What of the config could not be honoured, in words for the person who wrote it. Pure."""

from dataclasses import dataclass
from enum import StrEnum


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
