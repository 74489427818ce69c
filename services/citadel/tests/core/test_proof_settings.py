"""Under which names Citadel is told whom to believe."""

import pytest
from citadel.settings import CitadelSettings

NAMES = ("TOKEN_AUDIENCES", "TRUSTED_GATEWAY_CIDR", "CLUSTER_ID")


@pytest.mark.parametrize(("prefix", "counts"), [("CITADEL_", True), ("", True), ("PILOT_", False)])
def test_its_own_names_and_istios_count_and_those_of_pilot_do_not(monkeypatch, prefix, counts):
    for name, value in zip(NAMES, ("elsewhere", "192.0.2.0/24", "west"), strict=True):
        for one in ("", "PILOT_", "CITADEL_"):
            monkeypatch.delenv(f"{one}{name}", raising=False)
        monkeypatch.setenv(f"{prefix}{name}", value)
    found = CitadelSettings()
    told = (found.token_audiences == ("elsewhere",), len(found.trusted_gateway_cidr) == 1, found.cluster_id == "west")
    assert told == (counts, counts, counts)
