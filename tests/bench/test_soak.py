"""`make soak`, for a few seconds and with few proxies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.scale.churn import Churn
from bench.scale.mesh import sampled
from bench.scale.soak import SAMPLES, Sample, judged

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(500)
def test_what_proxies_have_after_churn_is_what_a_fresh_pilot_gives_them(tmp_path):
    sizes = {"seconds": 8, "seed": 3, "services": 30, "proxies": 24, "classes": 4, "envoys": 1}
    options = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "bench.scale.soak", *options, "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=480, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(next(tmp_path.iterdir()).read_text())
    assert result["faults"] == []
    assert result["samples"][-1]["changes"] > 5


def test_a_seed_repeats_a_churn():
    first, second, other = (Churn(seed, 10, 2) for seed in (1, 1, 2))
    steps = [[churn.step() for _ in range(50)] for churn in (first, second, other)]
    assert steps[0] == steps[1] != steps[2]
    assert {change["operation"] for step in steps[0] for change in step} == {"apply", "delete"}


def samples(memory: float, tasks: int = 0) -> list[Sample]:
    """Half a minute apart, each with so much more than the one before."""
    return [Sample(30.0 * at, 200 + memory * at, 150, 90 + tasks * at, 100 * at) for at in range(SAMPLES * 3 // 2)]


def test_growth_is_found():
    assert list(judged(samples(0.2))) == []
    assert list(judged(samples(3.0))) == ["memory has grown by 9.4 %"]
    assert list(judged(samples(0.0, tasks=2))) == ["tasks went from 98 to 112"]


def test_refusals_are_read_and_a_metric_that_is_not_there_is_not_zero():
    page = "# TYPE pilot_total_xds_rejects counter\npilot_total_xds_rejects_other 9\n"
    assert sampled(page, "pilot_total_xds_rejects") == 0
    page += 'pilot_total_xds_rejects{type="cds"} 2\npilot_total_xds_rejects{type="lds"} 1\n'
    assert sampled(page, "pilot_total_xds_rejects") == 3
    with pytest.raises(LookupError, match="pilot_total_xds_reject"):
        sampled(page, "pilot_total_xds_reject")
