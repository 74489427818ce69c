"""docs/security-tests.md names tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security-tests.md"


def test_every_attack_of_the_page_has_its_tests():
    named = re.findall(r"`([\w/.-]+\.py)::(\w+)`", PAGE.read_text())
    assert len(named) > 20
    absent = [f"{path}::{name}" for path, name in named if name not in functions(ROOT / path)]
    assert absent == []


def functions(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
