"""Where validators write what they find: errors refuse the object, warnings go along with it."""

from dataclasses import dataclass, field

from meshcore.errors import Violation


@dataclass(slots=True)
class Report:
    """Errors and warnings in the order in which they were found."""

    errors: list[Violation] = field(default_factory=list)
    warnings: list[Violation] = field(default_factory=list)

    def error(self, path: str, message: str, expected: str = "") -> None:
        """Refuse: `path` is the field, `expected` what would be right."""
        self.errors.append(Violation(path, message, expected))

    def warn(self, path: str, message: str) -> None:
        """Accept, but say so."""
        self.warnings.append(Violation(path, message))
