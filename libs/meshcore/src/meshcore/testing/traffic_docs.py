"""The page that lists every traffic capability and what shows it, made of the rows so that it cannot say more."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshcore.testing.traffic_rows import Feature, TrafficFolder

_HEAD = """# Traffic

What of Istio's traffic management works here, and what shows it. This page is made from the rows in
`tests/e2e/traffic` (`make golden ARGS=tests/architecture`). Each row is a config, calls and what must come of them.
Real Envoys run it in `tests/e2e/test_traffic_rows.py`, and the simulator answers it in
`services/pilot/tests/core/test_traffic_rows.py`.
A new row is a new file; `libs/meshcore/src/meshcore/testing/traffic_rows.py` tells what it may say.
A capability that nothing shows says so. `docs/limits.md` tells what else is missing.
"""
ROWS_FOLDER = "../tests/e2e/traffic"


def traffic_page(folder: TrafficFolder, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The page in Markdown; `rows` are the row documents by `area/row`."""
    by_feature: dict[str, list[str]] = {}
    for name, document in sorted(rows.items()):
        features = document["feature"]
        for feature in [features] if isinstance(features, str) else features:
            by_feature.setdefault(feature, []).append(name)
    shown = sum(1 for item in folder.features if item.name in by_feature)
    parts = [_HEAD, f"{len(folder.features)} capabilities, {shown} of them shown by {len(rows)} rows.\n"]
    for area, title in folder.areas.items():
        parts.append(f"## {title}\n")
        parts.append("| capability | priority | what it does here | shown by |\n|---|---|---|---|")
        members = [item for item in folder.features if item.area == area]
        parts.append("\n".join(_line(item, by_feature.get(item.name, [])) for item in members) + "\n")
        notes = list(_notes(area, rows))
        if notes:
            parts.append("\n".join(notes) + "\n")
    return "\n".join(parts)


def contradictions(folder: TrafficFolder, shown: Iterable[str]) -> list[str]:
    """Where the lists of features do not fit the rows: what is shown needs no excuse, what is not needs one."""
    features, found = set(shown), []
    names = [item.name for item in folder.features]
    found += [f"{name} is listed twice" for name in sorted({name for name in names if names.count(name) > 1})]
    for item in folder.features:
        if item.name in features and item.why_not:
            found.append(f"{item.area}: {item.name} is shown by a row: take its why_not away")
        if item.name not in features and not item.why_not and not item.test:
            found.append(f"{item.area}: {item.name} is shown by nothing: say why_not")
    return found


def _line(feature: Feature, rows: list[str]) -> str:
    places = [f"[{name}]({ROWS_FOLDER}/{name}.yaml)" for name in rows]
    if feature.test:
        places.append(f"`{feature.test}`")
    told = ", ".join(places)
    if not rows:
        told = (
            f"{told}; no row: {feature.why_not}"
            if told and feature.why_not
            else told or f"not shown: {feature.why_not}"
        )
    return f"| {feature.name} | {feature.priority} | {feature.does} | {told} |"


def _notes(area: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, document in sorted(rows.items()):
        if name.startswith(f"{area}/"):
            yield f"- **{name.removeprefix(f'{area}/')}**: {document['docs']}"
