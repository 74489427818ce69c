"""Prints the part of the lock file that the given projects need at run time, hashes included.

    python runtime_requirements.py requirements.lock [--without NAME]... PYPROJECT_OR_NAME...

The lock file holds everything that anybody needs, test tools too; its `# via` comments say who needs what, so the part
of a project is what its `dependencies` reach, the given projects themselves left out. A dependency that the lock file
lacks is an error: so is one that a project uses without declaring it, when its image starts. Standard library only: it
runs before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def normalised(name: str) -> str:
    """The one spelling of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_lock(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Each locked distribution: its lines, and the names of those that need it."""
    blocks: dict[str, tuple[str, frozenset[str]]] = {}
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text):
        found = _NAME.match(block)
        if not found:
            continue
        comments = re.findall(r"(?m)^ +# *(?:via)? *(\S.*)?$", block)
        lines = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        users = {normalised(comment) for comment in comments if comment and _NAME.fullmatch(comment)}
        blocks[normalised(found[0])] = ("\n".join(lines) + "\n", frozenset(users))
    return blocks


def reachable(lock: Mapping[str, tuple[str, frozenset[str]]], roots: Iterable[str], without: set[str]) -> list[str]:
    """Names of the locked distributions that the roots need, sorted; LookupError names a root that is not locked."""
    needed = {normalised(root) for root in roots} - without
    missing = sorted(needed - lock.keys())
    if missing:
        raise LookupError(f"not in the lock file: {', '.join(missing)}")
    while more := {name for name, (_, users) in lock.items() if users & needed} - needed - without:
        needed |= more
    return sorted(needed)


def declared(pyproject: Path) -> list[str]:
    """The names in a project's `dependencies`."""
    project = tomllib.loads(pyproject.read_text())["project"]
    return [found[0] for item in project["dependencies"] if (found := _NAME.match(item))]


def main(arguments: list[str]) -> int:
    """Print the requirements; 1 with a reason when a dependency is not locked."""
    lock = parse_lock(Path(arguments.pop(0)).read_text())
    without = {"meshcore"}
    while arguments and arguments[0] == "--without":
        without.add(normalised(arguments[1]))
        del arguments[:2]
    projects = [Path(one) for one in arguments if one.endswith(".toml")]
    without |= {normalised(tomllib.loads(path.read_text())["project"]["name"]) for path in projects}
    roots = [name for one in arguments for name in (declared(Path(one)) if one.endswith(".toml") else [one])]
    try:
        names = reachable(lock, roots, without)
    except LookupError as error:
        sys.stderr.write(f"{error.args[0]}\n")
        return 1
    sys.stdout.write("".join(lock[name][0] for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
