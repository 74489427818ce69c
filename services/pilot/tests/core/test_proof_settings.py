"""Under which names Pilot is told whom to believe."""

from ipaddress import ip_network

import pytest
from pilot.settings import PilotSettings


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch):
    for name in ("TOKEN_AUDIENCES", "TRUSTED_GATEWAY_CIDR", "CLUSTER_ID"):
        for prefix in ("", "PILOT_", "CITADEL_"):
            monkeypatch.delenv(f"{prefix}{name}", raising=False)


def test_istios_names_count_and_pilots_own_before_them(monkeypatch):
    monkeypatch.setenv("TOKEN_AUDIENCES", "one, two")
    monkeypatch.setenv("TRUSTED_GATEWAY_CIDR", "192.0.2.0/24")
    assert PilotSettings().token_audiences == ("one", "two")
    monkeypatch.setenv("PILOT_TRUSTED_GATEWAY_CIDR", "198.51.100.0/24")
    assert PilotSettings().trusted_gateway_cidr == (ip_network("198.51.100.0/24"),)


def test_whom_citadel_alone_is_told_to_believe_is_not_believed_here(monkeypatch):
    monkeypatch.setenv("CITADEL_TRUSTED_GATEWAY_CIDR", "192.0.2.0/24")
    monkeypatch.setenv("CITADEL_TOKEN_AUDIENCES", "elsewhere")
    monkeypatch.setenv("CITADEL_CLUSTER_ID", "west")
    found = PilotSettings()
    assert (found.trusted_gateway_cidr, found.token_audiences, found.cluster_id) == ((), ("istio-ca",), "Kubernetes")
