"""Settings in, rules out: `testdata/capture/<case>/{in.yaml,rules.txt,nft.txt}`. `make golden` writes rules anew."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy_bootstrap.core.capture.config import CaptureConfig, HostFacts, build_config
from envoy_bootstrap.core.capture.flags import read_flags
from envoy_bootstrap.core.capture.nft_rules import nft_transaction
from envoy_bootstrap.core.capture.pod import flags_of_pod
from envoy_bootstrap.core.capture.restore import applied_to_none
from envoy_bootstrap.core.capture.rules import capture_rules
from meshcore.testing.golden import case_directories

TESTDATA = Path(__file__).parent / "testdata" / "capture"


def config_of(directory: Path) -> CaptureConfig:
    given: dict[str, Any] = yaml.safe_load((directory / "in.yaml").read_text())
    facts = HostFacts(tuple(given["addresses"]), tuple(given.get("dns_servers", ())), given.get("envoy_uid"))
    if "pod" in given:
        return build_config(flags_of_pod(given["pod"]), facts)
    return build_config(read_flags(given["flags"], given.get("environment", {})), facts)


@pytest.mark.parametrize("directory", case_directories(TESTDATA))
def test_golden(directory, golden):
    config = config_of(directory)
    text = "".join(f"# IPv{version}\n{applied_to_none(capture_rules(config, version))}" for version in config.families)
    golden(directory, {"rules.txt": text, "nft.txt": nft_transaction(config)})
