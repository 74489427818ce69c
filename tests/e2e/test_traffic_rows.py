"""Every row of `traffic/` through real Envoys on the shared mesh: config in, receipt, calls, config out.

A new row is a new file. What a row may say is told in `meshcore.testing.traffic_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from listener_workers import ListenerWorkers
from mesh import ROWS, Mesh
from meshcore.testing.key_server import KeyServer
from meshcore.testing.traffic_rows import Row
from meshcore.testing.traffic_verdict import Answer
from row_calls import Caller


@pytest.fixture(scope="session")
def addresses(mesh: Mesh) -> Mapping[str, tuple[str, str]]:
    return {
        workload.name: (mesh.stack.proxy(number), mesh.stack.application(number))
        for number, workload in enumerate(ROWS.workloads, 1)
    }


@contextmanager
def applied(mesh: Mesh, workers: ListenerWorkers, row: Row) -> Iterator[None]:
    """The row's config in one revision that every proxy has; gone afterwards, which the next row's receipt covers."""
    described = {item["metadata"]["name"] for item in row.config if item["kind"] == "Namespace"}
    documents = [_namespace(name) for name in row.namespaces if name not in described]
    documents += row.config
    before = mesh.mesh_config() if row.mesh else None
    if before is not None:
        text = yaml.safe_dump({**yaml.safe_load(before["data"]["mesh"]), **row.mesh})
        documents.append({**before, "data": {**before["data"], "mesh": text}})
    if not documents:
        mesh.converged(mesh.last_change)  # what the row before it had is gone everywhere
        workers.wait()
        yield
        return
    mesh.converged(mesh.change(documents))
    workers.wait()
    try:
        yield
    finally:
        again = [_namespace(name) for name in sorted(described)] + ([before] if before is not None else [])
        mesh.change(again, delete=[item for item in row.config if item["kind"] != "Namespace"])


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in ROWS.row_files])
def test_row(
    mesh: Mesh, addresses: Mapping[str, tuple[str, str]], issuers: KeyServer, workers: ListenerWorkers, path: Path
) -> None:
    row = ROWS.row(path, addresses, issuers.url)
    with applied(mesh, workers, row):
        caller = Caller(mesh, row.id)
        for number, call in enumerate(row.calls, 1):
            outcome, wrong = caller.call(call)
            assert not wrong, _report(row, number, call, outcome.answers, wrong)


def _report(row: Row, number: int, call: Any, answers: Any, wrong: list[str]) -> str:
    kinds: dict[str, int] = {}
    for answer in answers:
        kinds[_told(answer)] = kinds.get(_told(answer), 0) + 1
    config = yaml.safe_dump_all(row.config, sort_keys=False, default_flow_style=None, width=120)
    asked = yaml.safe_dump(call.model_dump(exclude_defaults=True, by_alias=True), sort_keys=False)
    got = "\n".join(f"  {count} x {told}" for told, count in sorted(kinds.items(), key=lambda item: -item[1])[:5])
    said = "\n".join(f"  {line}" for line in wrong)
    return (
        f"call {number} of {row.id}\n{said}\n--- config\n{config}--- call, and what was wanted\n{asked}--- got\n{got}"
    )


def _told(answer: Answer) -> str:
    who = answer.workload or "the proxy"
    return answer.error or f"{answer.status} from {who}: {dict(answer.headers)} {answer.body} {dict(answer.saw)}"
