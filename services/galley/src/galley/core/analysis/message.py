"""A message about one object: its type (code, level, words), the place, and the proposed fix."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from galley.core.analysis.fix import Fix
from galley.core.analysis.resource import Resource

DOCUMENTATION = "https://istio.io/latest/docs/reference/config/analysis"


class Level(IntEnum):
    """How bad it is; a smaller number is worse."""

    ERROR = 0
    WARNING = 1
    INFO = 2

    @property
    def label(self) -> str:
        """As messages show it."""
        return self.name.capitalize()

    def reaches(self, threshold: "Level") -> bool:
        """Whether it is as bad as the threshold, or worse."""
        return self <= threshold


@dataclass(frozen=True, slots=True)
class MessageType:
    """A code with its level and its words; `template` has a `{}` for each parameter."""

    code: str
    level: Level
    name: str
    template: str


@dataclass(frozen=True, slots=True)
class Message:
    """One finding. `line` is that of the field in question, 0 where the object was not read from a file."""

    type: MessageType
    resource: Resource | None
    parameters: tuple[object, ...] = ()
    line: int = 0
    fix: Fix | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """The sentence."""
        return self.type.template.format(*map(_shown, self.parameters))

    @property
    def origin(self) -> str:
        """The object, as `Kind namespace/name`."""
        return self.resource.friendly_name if self.resource is not None else ""

    @property
    def reference(self) -> str:
        """File and line; empty for an object of the store."""
        if self.resource is None or not self.resource.file:
            return ""
        return f"{self.resource.file}:{self.line or self.resource.line_of()}"

    @property
    def documentation_url(self) -> str:
        """Where the code is explained."""
        return f"{DOCUMENTATION}/{self.type.code.lower()}/"

    def log_line(self, show_cluster: bool = False) -> str:
        """`Level [CODE] (Kind namespace/name file:line) text`."""
        where = ""
        if self.resource is not None:
            cluster = f" [cluster-{self.resource.cluster}]" if show_cluster and self.resource.cluster else ""
            where = f"{cluster} ({' '.join(part for part in (self.origin, self.reference) if part)})"
        return f"{self.type.level.label} [{self.type.code}]{where} {self.text}"

    def document(self, show_cluster: bool = False) -> dict[str, Any]:
        """The message as data."""
        found: dict[str, Any] = {"code": self.type.code, "level": self.type.level.label}
        if self.resource is not None:
            found["origin"] = self.origin
            if self.reference:
                found["reference"] = self.reference
        found["message"] = self.text
        found["documentationUrl"] = self.documentation_url
        if show_cluster and self.resource is not None and self.resource.cluster:
            found["cluster"] = self.resource.cluster
        if self.fix is not None:
            found["fix"] = {"description": self.fix.description}
            if self.fix.patch:
                found["fix"]["patch"] = [dict(operation) for operation in self.fix.patch]
        return found


def _shown(parameter: object) -> str:
    """Lists as `[a b]`, everything else as it reads."""
    if isinstance(parameter, list | tuple):
        return f"[{' '.join(map(str, parameter))}]"
    return str(parameter)
