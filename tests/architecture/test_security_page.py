"""docs/security-tests.md has every attack, and names tests and traffic rows that are there and say so."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security-tests.md"
ROWS = ROOT / "tests" / "e2e" / "traffic"
NUMBERS = {*range(1, 41), *range(42, 49)}
_SAID = re.compile(r"[Aa]ttacks?[ _](\d+(?:(?:, | and )\d+)*)")


def test_every_attack_has_a_row_on_the_page():
    assert {number for number, _ in lines()} == NUMBERS
    assert [number for number, cell in lines() if not re.search(r"`[^`]+`", cell)] == []


def test_every_test_of_the_page_is_there_and_names_its_attack():
    cited = [
        (number, path, name) for number, cell in lines() for path, name in re.findall(r"`([\w/.-]+\.py)::(\w+)`", cell)
    ]
    assert len(cited) > 80
    silent = [f"{path}::{name} of {number}" for number, path, name in cited if number not in attacks_of(path, name)]
    assert silent == []


def test_every_traffic_row_of_the_page_is_there_and_names_its_attack():
    cited = [(number, name) for number, cell in lines() for name in re.findall(r"`([\w-]+)`", cell)]
    assert len(cited) > 8
    silent = [
        f"{name} of {number}"
        for number, name in cited
        if not any(number in numbers_in(row.read_text()) for row in ROWS.rglob(f"{name}.yaml"))
    ]
    assert silent == []


def lines() -> Iterator[tuple[int, str]]:
    """The number and the last cell of each line of the page's tables."""
    for found in re.finditer(r"^\| (\d+) \|.*\| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE):
        yield int(found[1]), found[2]


def numbers_in(text: str) -> set[int]:
    return {int(number) for said in _SAID.findall(text) for number in re.findall(r"\d+", said)}


def attacks_of(path: str, name: str) -> set[int]:
    """What a test's name, text or module says that it is of; nothing for a test that is not there."""
    if not (ROOT / path).is_file():
        return set()
    own, functions = parsed(path)
    return numbers_in(own) | numbers_in(functions[name]) if name in functions else set()


@cache
def parsed(path: str) -> tuple[str, dict[str, str]]:
    """The text of a module about itself, and the text of each of its functions."""
    source = (ROOT / path).read_text()
    tree, lines = ast.parse(source), source.splitlines()
    functions = {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return ast.get_docstring(tree) or "", functions
