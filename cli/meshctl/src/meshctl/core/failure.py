"""Why a stack did not come up. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StackFailure(Exception):
    """A process of the stack failed: its name, the reason, and the last lines that it wrote."""

    process: str
    reason: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.process}: {self.reason}"
