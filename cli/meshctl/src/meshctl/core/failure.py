"""Why a stack did not come up. Pure."""


class StackFailure(Exception):
    """A process of the stack failed: its name, the reason, and the last lines that it wrote."""

    def __init__(self, process: str, reason: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(process, reason)
        self.process = process
        self.reason = reason
        self.lines = lines

    def __str__(self) -> str:
        return f"{self.process}: {self.reason}"
