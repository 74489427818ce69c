"""Golden tests: a case is a folder of data, and a new test is two files.

A pytest plugin (the root `conftest.py` loads it). `golden(directory, {"out.yaml": text}, inputs={"in.yaml"})` compares
every output with its file and the set of files with what was made: a missing file fails, and so does a stale one.
`--update-golden` writes the outputs and removes what is stale.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

Golden = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden`."""
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The comparison, or the update when `--update-golden` was given."""
    update = bool(request.config.getoption("--update-golden", default=False))

    def check(directory: Path, outputs: Mapping[str, str], inputs: Collection[str] = ("in.yaml",)) -> None:
        check_golden(directory, outputs, inputs, update=update)

    return check


def check_golden(directory: Path, outputs: Mapping[str, str], inputs: Collection[str], *, update: bool) -> None:
    """Compare (or write) the outputs of one case; AssertionError names every file that is wrong."""
    there = {path.name for path in directory.iterdir() if path.is_file()}
    stale = there - set(outputs) - set(inputs)
    if update:
        for name in stale:
            (directory / name).unlink()
        for name, text in outputs.items():
            (directory / name).write_text(text)
        return
    assert not stale, f"stale golden files in {directory}: {sorted(stale)}"
    for name, text in outputs.items():
        path = directory / name
        assert path.exists(), f"{path} is missing; write it with --update-golden"
        assert text == path.read_text(), f"{path} differs; look at the difference, or write it with --update-golden"


def case_directories(testdata: Path, pattern: str = "*") -> list[Any]:
    """Every case below `testdata` as a pytest parameter with its name; none at all is an error."""
    found = sorted(path for path in testdata.glob(pattern) if path.is_dir())
    if not found:
        raise ValueError(f"no golden case matches {testdata}/{pattern}")
    return [pytest.param(path, id=path.name) for path in found]


class _Dumper(yaml.SafeDumper):
    """Plain YAML without aliases, so that a difference is readable."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(value: Any) -> str:
    """A document as golden files write it: block style, in the order of the value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
