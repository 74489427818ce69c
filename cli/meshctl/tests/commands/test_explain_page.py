"""docs/explain.md shows what the commands print; --update-golden writes it."""

import re
import shlex
from pathlib import Path

import pytest
from meshctl.__main__ import app_with
from typer.testing import CliRunner

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "explain.md"
BLOCK = re.compile(r"```console\n\$ (meshctl [^\n]+)\n(.*?)```", re.DOTALL)


def printed(command: str) -> str:
    arguments = shlex.split(command)[1:]
    done = CliRunner().invoke(app_with([arguments[0]]), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_page_shows_what_the_commands_print(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    text = PAGE.read_text()
    assert len(BLOCK.findall(text)) >= 3
    current = BLOCK.sub(lambda found: f"```console\n$ {found[1]}\n{printed(found[1])}```", text)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(current)
    assert PAGE.read_text() == current
