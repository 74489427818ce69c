"""Field paths (`spec.http[0].match`) as the steps that lead there."""

import re

_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


def parse_path(path: str) -> tuple[str | int, ...]:
    """`spec.http[0]` -> ("spec", "http", 0); what stands in brackets and is no number is a key."""
    return tuple(
        int(bracketed) if bracketed.isdigit() else bracketed or plain for bracketed, plain in _STEP.findall(path)
    )
