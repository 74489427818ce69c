"""Whose token is still good; that tokens are written and replaced is shown in containers (tests/compose)."""

import os

from meshctl.adapters.enrolment import unfinished
from meshctl.core.mesh_objects import TOKEN_SECONDS
from meshctl.core.workloads import Workload

NOW = 1_800_000_000.0


def test_a_workload_is_finished_while_its_token_is_good(tmp_path):
    ages = {"fresh": 1, "half": TOKEN_SECONDS / 2, "over": TOKEN_SECONDS, "of-the-future": -60}
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        token = tmp_path / name / "token"
        token.write_text("t")
        os.utime(token, (NOW - age, NOW - age))
    names = [*ages, "never-seen"]
    missing = unfinished(tmp_path, [Workload(name) for name in names], NOW)
    assert missing == ("over", "of-the-future", "never-seen")
