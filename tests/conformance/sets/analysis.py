"""Analysis: the codes and resources of each case's one analyzer, and the same among those of all analyzers."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from galley.core.analysis.analysis import analyze
from galley.core.analysis.analyzer import Analyzer, Moment
from galley.core.analysis.default_objects import default_objects
from galley.core.analysis.inputs import Inputs, networks_resource
from galley.core.analysis.reading import camel_keys
from galley.core.analysis.registry import ANALYZERS
from galley.core.analysis.resource import resources_of
from meshcore.model.load import load_yaml_documents

from tests.conformance.outcome import Outcome, failed, passed

SET = "analysis"


def run(directory: Path) -> Iterator[Outcome]:
    """Two outcomes for each case."""
    files = directory / "files"
    for index, case in enumerate(json.loads((directory / "expected.json").read_text(encoding="utf-8"))):
        title = f"{index}:{case['name']}"
        inputs = _inputs(case, files)
        wanted = Counter((message["code"], message["resource"]) for message in case["expected"])
        chosen = tuple(analyzer for analyzer in ANALYZERS if analyzer.is_called(case["analyzer"]))
        if not chosen:
            yield failed(title, f"there is no analyzer {case['analyzer']}")
            continue
        alone = _found(inputs, chosen)
        yield passed(title) if alone == wanted else failed(title, _difference(wanted, alone))
        together = _found(inputs, ANALYZERS)
        if wanted <= together:
            yield passed(f"{title} (with all)")
        else:
            yield failed(f"{title} (with all)", _difference(wanted, together))


def _inputs(case: dict[str, Any], files: Path) -> Inputs:
    clusters = {"default" if "inputs_cluster2" in case else "": case["inputs"]}
    clusters["cluster2"] = case.get("inputs_cluster2", [])
    mesh_config = _one(files, case.get("mesh_config")) or {}
    networks = _one(files, case.get("mesh_networks"))
    resources = [*default_objects(camel_keys(mesh_config))]
    for cluster, names in clusters.items():
        for name in names:
            documents = load_yaml_documents((files / name).read_text(encoding="utf-8"), name)
            resources += resources_of(documents, cluster=cluster)
    return Inputs(
        resources,
        mesh_config=mesh_config,
        mesh_networks=networks_resource(networks) if networks is not None else None,
    )


def _one(files: Path, name: str | None) -> dict[str, Any] | None:
    """The only document of a file; None without a file."""
    if name is None:
        return None
    documents = load_yaml_documents((files / name).read_text(encoding="utf-8"), name)
    return dict(documents[0].body) if documents else {}


def _found(inputs: Inputs, analyzers: tuple[Analyzer, ...]) -> Counter[tuple[str, str]]:
    messages = analyze(inputs, Moment(time.time()), analyzers=analyzers)
    return Counter((message.type.code, message.origin) for message in messages)


def _difference(wanted: Counter[tuple[str, str]], got: Counter[tuple[str, str]]) -> str:
    return f"missing {sorted((wanted - got).elements())}, too many {sorted((got - wanted).elements())}"
