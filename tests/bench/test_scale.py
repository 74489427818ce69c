"""The harness of `make bench-scale` on a mesh that is small: every figure is there, and what reads results can."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.scale.page import BEGIN, END, filled, lines
from bench.scale.results import load
from bench.scale.targets import TARGETS

ROOT = Path(__file__).parents[2]
CHANGES = ("endpoint", "virtual_service", "service_added", "mesh_policy")
PROXIES = 20

pytestmark = pytest.mark.timeout(600)


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"bench.scale{module}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    done = run("", "--profile", "tiny", "--parts", "changes,reconnect", "--output", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.iterdir())


def test_both_transports_are_measured(result):
    runs = json.loads(result.read_text())["runs"]
    assert [run["transport"] for run in runs] == ["plaintext", "mtls"]
    for found in runs:
        figures = found["figures"]
        for change in CHANGES:
            # Each change concerns all proxies, and each of them has acknowledged it in the time of the measurement.
            assert figures[f"{change}_pushes"] >= PROXIES
            assert 0 <= figures[f"{change}_p50_milliseconds"] <= figures[f"{change}_last_max_milliseconds"]
            assert figures[f"{change}_push_bytes"] > 0
        assert figures["connect_ended_streams"] == 0
        assert figures["sustained_pushes_per_second"] > 0
        assert figures["reconnect_seconds"] > 0


def test_a_start_is_measured_from_the_process_that_serves(tmp_path):
    # With workers: those of the Pilot before outlive it for a moment, and would serve the proxy that comes at once.
    more = ("--workers", "2", "--parts", "cold_start", "--transports", "plaintext")
    done = run("", "--profile", "tiny", *more, "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    path = next(tmp_path.iterdir())
    assert path.name.startswith("scale-tiny-cold_start-2")
    figures = json.loads(path.read_text())["runs"][0]["figures"]
    for name in ("cold_start", "alone_start"):
        assert 0 < figures[f"{name}_first_response_seconds"] <= figures[f"{name}_seconds"]
        assert figures[f"{name}_ready_seconds"] > 0


def test_a_result_is_no_different_from_itself(result):
    done = run(".compare", str(result), str(result))
    assert done.returncode == 0, done.stderr
    *about, last = done.stdout.splitlines()
    assert len(about) == 2
    assert last.startswith("none of ")


def test_two_servers_of_one_result_are_compared(result, tmp_path):
    both = json.loads(result.read_text())
    faster = json.loads(result.read_text())["runs"]
    for found in faster:
        found["server"] = "other"
        found["figures"]["sustained_pushes_per_second"] *= 2
    both["runs"] += faster
    path = tmp_path / "both.json"
    path.write_text(json.dumps(both))
    done = run(".compare", str(path))
    words = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [(line[:3], line[-2:]) for line in words] == [
        (["other", transport, "sustained_pushes_per_second"], ["perhaps", "better"])
        for transport in ("plaintext", "mtls")
    ]


def test_the_page_says_how_every_target_stands(result):
    text = filled(f"before\n{BEGIN}\nold\n{END}\nafter", "\n".join(lines([load(result)])))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for target in TARGETS:
        assert any(target.label in row for row in rows), target.label
    assert sum(row.startswith("| one endpoint |") for row in rows) == 2
    assert text.startswith("before")
    assert text.endswith("after")
    assert "old" not in text.splitlines()


def test_a_curve_has_a_row_for_each_size_and_transport(result, tmp_path):
    found = json.loads(result.read_text())
    for number, one in enumerate(found["runs"]):
        for size in (100, 3000):
            one["figures"] |= {f"sustained_push_microseconds@proxies={size}": size / 10 + number}
    path = tmp_path / "curve.json"
    path.write_text(json.dumps(found))
    rows = [line for line in lines([load(path)]) if line.startswith(("| 100 |", "| 3,000 |"))]
    cells = [[cell.strip() for cell in row.split("|")[1:4]] for row in rows]
    assert cells == [
        ["100", "plaintext", "10"],
        ["100", "mTLS", "11"],
        ["3,000", "plaintext", "300"],
        ["3,000", "mTLS", "301"],
    ]


def test_results_of_different_transports_are_not_compared(result, tmp_path):
    paths = []
    for transport in ("plaintext", "mtls"):
        found = json.loads(result.read_text())
        found["runs"] = [one for one in found["runs"] if one["transport"] == transport]
        paths.append(tmp_path / f"{transport}.json")
        paths[-1].write_text(json.dumps(found))
    done = run(".compare", *map(str, paths))
    assert done.stdout.splitlines()[2:] == ["none of 0 figures differs by more than its spread"]


def test_a_result_that_is_slower_is_called_so(result, tmp_path):
    slower = json.loads(result.read_text())
    for found in slower["runs"]:
        found["figures"]["endpoint_p50_milliseconds"] += 10_000
    path = tmp_path / "slower.json"
    path.write_text(json.dumps(slower))
    done = run(".compare", str(result), str(path))
    words = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [(line[0], line[1], line[-1]) for line in words] == [
        ("plaintext", "endpoint_p50_milliseconds", "worse"),
        ("mtls", "endpoint_p50_milliseconds", "worse"),
    ]


@pytest.mark.parametrize(
    ("costs", "rise"), [((600, 200, 190), 0.0), ((600, 200, 300), 50.0), ((100, 110, 105), 10.0), ((100,), None)]
)
def test_a_curve_rises_by_its_steepest_way_up(costs, rise):
    target = next(one for one in TARGETS if one.label.startswith("100 to 3,000 proxies"))
    sizes = (100, 1000, 3000)
    found = target.value(
        {f"sustained_push_microseconds@proxies={size}": cost for size, cost in zip(sizes, costs, strict=False)}
    )
    assert found == (rise if rise is None else pytest.approx(rise))
