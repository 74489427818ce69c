"""`docs/traffic.md` says what the traffic rows show, no more and no less; --update-golden writes it."""

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


def test_the_page_is_current_golden(request):
    page = traffic_page(FOLDER, ROWS)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "docs/traffic.md is not what the rows show: make golden"
