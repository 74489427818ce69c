"""The files of cases that several sets share: one JSON document a line, with long texts to expand."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def read_cases(path: Path) -> Iterator[dict[str, Any]]:
    """Every case of a `cases.jsonl`, its long texts in place."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.strip():
                continue
            case: dict[str, Any] = json.loads(line)
            for place in case.get("expand", ()):
                _expand(case["doc"], place)
            yield case


def _expand(document: Any, place: Mapping[str, Any]) -> None:
    *parents, last = place["path"]
    for part in parents:
        document = document[part]
    text = place["char"] * place["len"]
    document[last] = base64.b64encode(text.encode()).decode() if place.get("base64") else text
