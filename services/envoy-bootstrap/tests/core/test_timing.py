"""Back-off, probes, durations, Envoy's arguments."""

from datetime import timedelta

import pytest
from envoy_bootstrap.core.back_off import CA_BACK_OFF, BackOff
from envoy_bootstrap.core.envoy_arguments import envoy_arguments
from envoy_bootstrap.core.health_probe import ProbeState, parse_probe
from envoy_bootstrap.core.proxy_config import parse_proxy_config, parse_time_span
from hypothesis import given
from hypothesis import strategies as st
from meshcore.errors import MeshError


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_delay_stays_within_its_jitter(attempt, uniform):
    back_off = BackOff(first=0.1, longest=5.0, jitter=0.2)
    base = min(5.0, 0.1 * 2 ** min(attempt, 30))
    assert base * 0.8 <= back_off.delay(attempt, uniform) <= base * 1.2


def test_istios_ca_client_waits_a_tenth_of_a_second_first():
    assert [round(CA_BACK_OFF.delay(attempt, 0.5), 3) for attempt in range(4)] == [0.1, 0.2, 0.4, 0.8]


def test_health_changes_only_at_its_threshold():
    state = ProbeState(success_threshold=1, failure_threshold=2)
    seen = []
    for success in (False, True, False, True, False, False, True):
        state = state.observed(success)
        seen.append(state.healthy)
    assert seen == [None, True, True, True, True, False, True]


@pytest.mark.parametrize("text", ["", ":80", "tcp://host", "exec://x:1", "tcp://h:99999"])
def test_what_is_no_probe(text):
    with pytest.raises(MeshError):
        parse_probe(text, "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25), ("1s1m", 61), ("0", 0)]
)
def test_durations_are_gos(text, seconds):
    assert parse_time_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1ns", "1d", "9999999h"])
def test_what_is_no_duration(text):
    with pytest.raises(MeshError):
        parse_time_span(text)


def test_proxy_config_of_istio_is_read_and_kept_whole():
    config = parse_proxy_config("terminationDrainDuration: 20s\nconcurrency: 4\ntracing: {sampling: 10}\n")
    assert config.termination_drain_duration == timedelta(seconds=20)
    assert config.concurrency == 4
    assert config.raw["tracing"] == {"sampling": 10}
    with pytest.raises(MeshError, match="neither YAML nor JSON"):
        parse_proxy_config("{")


def test_envoy_itself_counts_the_cores_where_no_number_of_threads_is_asked_for():
    def given(threads):
        return envoy_arguments("/run/b.json", drain=timedelta(seconds=45), concurrency=threads, log_level="info")

    assert given(2) == [*given(0), "--concurrency", "2"]


def test_envoy_never_uses_hot_restart_and_drains_at_once():
    arguments = envoy_arguments(
        "/run/b.json", drain=timedelta(seconds=45), concurrency=1, log_level="info", component_log_level="misc:error"
    )
    assert "--disable-hot-restart" in arguments
    assert arguments[arguments.index("--drain-strategy") + 1] == "immediate"
    assert arguments[arguments.index("--drain-time-s") + 1] == "45"
    assert arguments[-2:] == ["--component-log-level", "misc:error"]
