"""Environment in, bootstrap out: `testdata/<case>/{environment,bootstrap}.json`. `make golden` writes them anew."""

import json
from pathlib import Path
from typing import Any

import pytest
from envoy_bootstrap.adapters.bootstrap_source import bootstrap_text
from envoy_bootstrap.command_line import parse_arguments
from envoy_bootstrap.core.addresses import UnixSocket
from envoy_bootstrap.core.environment import AgentConfig, parse_environment
from meshcore.testing.envoy import validate

TESTDATA = Path(__file__).parent.parent / "testdata"
CASES = sorted(path.name for path in TESTDATA.iterdir())


def config_of(case: str) -> AgentConfig:
    given = json.loads((TESTDATA / case / "environment.json").read_text())
    arguments, _ = parse_arguments(given["arguments"])
    return parse_environment(given["environment"], arguments)


def rendered(case: str) -> str:
    config = config_of(case)
    admin = UnixSocket(f"{config.state_dir}/admin.sock", mode=0o600)
    return bootstrap_text(config, Path(config.state_dir), admin)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, request: pytest.FixtureRequest) -> None:
    expected = TESTDATA / case / "bootstrap.json"
    text = rendered(case)
    if request.config.getoption("--update-golden", default=False):
        expected.write_text(text)
    assert text == expected.read_text()
    assert sorted(path.name for path in (TESTDATA / case).iterdir()) == ["bootstrap.json", "environment.json"]


@pytest.mark.parametrize("case", CASES)
def test_golden_is_accepted_by_envoy(case: str, tmp_path: Path) -> None:
    bootstrap: dict[str, Any] = json.loads((TESTDATA / case / "bootstrap.json").read_text())
    for cluster in bootstrap["static_resources"]["clusters"]:
        if (source := cluster.get("eds_cluster_config", {}).get("eds_config")) is not None:
            endpoints = tmp_path / "endpoints.json"
            endpoints.write_text('{"resources": []}')
            source["path_config_source"]["path"] = str(endpoints)
    validate(bootstrap)
