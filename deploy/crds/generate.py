"""Writes the CustomResourceDefinition of every kind of the mesh into this folder: `make crds`.

    python deploy/crds/generate.py [FOLDER]

One file for each kind, named after it; a file of a kind that is no more is removed.
"""

import sys
from pathlib import Path

import yaml
from galley.core.crds import crd, crd_name, kinds_with_crds

_NOTE = "# Made from the models by `make crds`; do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: the versions of a kind share their schema, and kubectl users read these files."""

    def ignore_aliases(self, data: object) -> bool:
        """Never refer back."""
        return True


def files() -> dict[str, str]:
    """The text of each file, by name."""
    return {
        f"{crd_name(info)}.yaml": _NOTE + yaml.dump(crd(info), Dumper=_Dumper, sort_keys=False, width=120)
        for info in kinds_with_crds()
    }


def write(folder: Path) -> None:
    """Make the folder's files what the models say."""
    made = files()
    for stale in set(path.name for path in folder.glob("*.yaml")) - set(made):
        (folder / stale).unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
