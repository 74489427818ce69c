"""The services that a proxy reports to; what they look like in the bootstrap is golden (test_golden)."""

import pytest
from envoy_bootstrap.core.reporting_services import clusters, parse_reporting_services
from meshcore.errors import ErrorCode, MeshError


def keepalive(**settings):
    document = {"envoyMetricsService": {"address": "metrics.example:15000", "tcpKeepalive": settings}}
    [made] = clusters(parse_reporting_services(document, ""), "V4_ONLY", "files")
    return made.get("upstream_connection_options")


def test_keepalive_is_in_counts_and_whole_seconds():
    made = keepalive(probes=3, time="2h", interval="75s")
    assert made == {"tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 7200, "keepalive_interval": 75}}
    assert keepalive() is None


@pytest.mark.parametrize("settings", [{"time": "soon"}, {"probes": True}, {"interval": {}}])
def test_keepalive_that_is_none_is_named(settings):
    with pytest.raises(MeshError, match=f"tcpKeepalive.{next(iter(settings))}: ") as caught:
        keepalive(**settings)
    assert caught.value.code is ErrorCode.INVALID
