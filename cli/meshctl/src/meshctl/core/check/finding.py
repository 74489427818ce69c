"""Something that is wrong, and what would be right. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from meshctl.core.check.observed import Document

MOST_NAMES = 5
"""Names that a message lists; of the others it tells how many there are."""


class Level(StrEnum):
    """How bad it is, in istioctl's words."""

    ERROR = "Error"
    """Something does not work, or changes do not arrive."""
    WARNING = "Warning"
    """It works, and will not for long, or not as somebody may think."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `subject` is what it is about; what is `passing` may be over in a moment: it is looked at again."""

    level: Level
    code: str
    subject: str
    message: str
    remedy: str
    passing: bool = False

    def __str__(self) -> str:
        return f"{self.level} [{self.code}] ({self.subject}) {self.message}. What would be right: {self.remedy}"

    def document(self) -> Document:
        """The form of `-o json`."""
        return {
            "code": self.code,
            "level": str(self.level),
            "subject": self.subject,
            "message": self.message,
            "remedy": self.remedy,
        }


def listed(names: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    every = sorted(names)
    rest = len(every) - MOST_NAMES
    return ", ".join(every[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
