"""`docs/traffic.md` says what the traffic rows show, no more and no less; --update-golden writes it."""

import re
from pathlib import Path

import pytest
import yaml
from meshcore.testing.traffic_docs import contradictions, traffic_page
from meshcore.testing.traffic_rows import TrafficFolder

ROOT = Path(__file__).parents[2]
FOLDER = TrafficFolder(ROOT / "tests" / "e2e" / "traffic")
PAGE = ROOT / "docs" / "traffic.md"
ROWS = {f"{path.parent.name}/{path.stem}": yaml.safe_load(path.read_text()) for path in FOLDER.row_files}


def shown() -> set[str]:
    found = [document["feature"] for document in ROWS.values()]
    return {name for item in found for name in ([item] if isinstance(item, str) else item)}


def test_every_capability_is_shown_or_says_why_not():
    assert contradictions(FOLDER, shown()) == []


def test_every_row_is_in_an_area():
    assert {name.split("/")[0] for name in ROWS} <= set(FOLDER.areas)
    assert {path.name for path in FOLDER.path.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(
        FOLDER.areas
    )


@pytest.mark.parametrize("feature", [item for item in FOLDER.features if item.test], ids=lambda item: item.name)
def test_a_test_that_is_named_is_there(feature):
    path, _, called = feature.test.partition("::")
    function, _, case = called.rstrip("]").partition("[")
    assert f"def {function}" in (ROOT / path).read_text()
    assert not case or (ROOT / path).parents[1].joinpath("testdata", case).is_dir()


def fields_of(text: str) -> set[str]:
    """Names of fields and values that a capability's text speaks of: words in backticks, and those like `exportTo`."""
    quoted = {word for part in re.findall(r"`([^`]+)`", text) for word in re.findall(r"[A-Za-z][A-Za-z0-9_-]*", part)}
    return quoted | set(re.findall(r"\b[a-z]{2,}[A-Z][A-Za-z]*", text))


SHOWN_BY: dict[str, list[str]] = {}
for name, document in ROWS.items():
    for feature in [document["feature"]] if isinstance(document["feature"], str) else document["feature"]:
        SHOWN_BY.setdefault(feature, []).append((FOLDER.path / f"{name}.yaml").read_text())


@pytest.mark.parametrize(
    "feature", [item for item in FOLDER.features if item.name in SHOWN_BY], ids=lambda item: item.name
)
def test_what_a_capability_speaks_of_is_in_what_shows_it(feature):
    told = "\n".join(SHOWN_BY[feature.name]) + (text_of(feature.test) if feature.test else "")
    assert {word for word in fields_of(feature.does) if not re.search(rf"\b{re.escape(word)}", told)} == set()


def text_of(test: str) -> str:
    """The test's file, and the case of its golden files that it names."""
    path, _, called = test.partition("::")
    case = called.rstrip("]").partition("[")[2]
    folder = (ROOT / path).parents[1] / "testdata" / case
    return (ROOT / path).read_text() + "".join(file.read_text() for file in (folder.iterdir() if case else ()))


def test_the_page_is_current_golden(request):
    page = traffic_page(FOLDER, ROWS)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "docs/traffic.md is not what the rows show: make golden"
