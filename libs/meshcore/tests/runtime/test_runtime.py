import asyncio
import io
import json
import logging
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
import structlog
from meshcore import metrics
from meshcore.http import listening, serve_admin
from meshcore.runtime import GoDuration, Readiness, ServiceSettings, logs, run, running, tasks
from meshcore.runtime.redaction import REDACTED, redact
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pydantic_settings import SettingsConfigDict


class EchoSettings(ServiceSettings):
    service = "echo"
    model_config = SettingsConfigDict(env_prefix="ECHO_")
    ttl: GoDuration = timedelta(hours=24)


PROGRAM = """
import sys, asyncio
from datetime import timedelta
from pydantic_settings import SettingsConfigDict
from meshcore.runtime import ServiceSettings, run, GoDuration
from meshcore.http import serve_admin

class EchoSettings(ServiceSettings):
    service = "echo"
    model_config = SettingsConfigDict(env_prefix="ECHO_")
    ttl: GoDuration = timedelta(hours=24)

async def build(runtime):
    port = await serve_admin(runtime)
    async def stopped():
        runtime.log.info("part stopped")
    runtime.on_stop("part", stopped)
    runtime.log.info("serving", port=port, token="very-secret")

sys.exit(run(EchoSettings, build))
"""


def start(**environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"ECHO_ADMIN_PORT": "0"} | environment,
    )


def test_a_service_starts_and_stops_in_order_on_sigterm():
    with start() as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "service started":
                process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    events = [line["event"] for line in lines]
    assert events.index("service started") < events.index("part stopped") < events.index("service stopped")
    assert all(line["service"] == "echo" for line in lines)
    assert "very-secret" not in json.dumps(lines)


def test_a_wrong_setting_is_named_with_its_variable():
    with start(ECHO_TTL="soon", ECHO_LOG_LEVEL="loud") as process:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 2
    assert "ttl (ECHO_TTL)" in output
    assert "log_level (ECHO_LOG_LEVEL)" in output


def test_settings_are_printed_with_go_durations(capsys, monkeypatch):
    monkeypatch.setenv("ECHO_TTL", "1h30m")
    assert run(EchoSettings, None, ["--print-settings"]) == 0
    assert json.loads(capsys.readouterr().out)["ttl"] == "5400s"
    assert run(EchoSettings, None, ["--nonsense"]) == 2


async def test_a_part_that_fails_is_restarted_and_makes_the_service_unready(monkeypatch):
    monkeypatch.setattr(tasks, "SETTLED_AFTER", 0.05)
    monkeypatch.setattr(tasks, "FIRST_BACKOFF", 0.01)
    runs = 0
    states = []
    failed = asyncio.Event()

    async def part() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            asyncio.get_running_loop().call_later(0.01, failed.set)
            raise RuntimeError("first run fails")
        await asyncio.Event().wait()

    async def build(runtime):
        runtime.spawn("part", part)

    async with running(EchoSettings(), build) as runtime, asyncio.timeout(60):
        await failed.wait()
        states.append("task:part" in runtime.readiness.conditions)
        await runtime.readiness.wait()
        states.append(runtime.readiness.ready)
    assert states == [True, True]
    assert runs == 2


async def test_a_part_without_restart_ends_the_service_when_it_fails():
    stopped = asyncio.Event()

    async def part() -> None:
        raise RuntimeError("cannot go on")

    async def build(runtime):
        async def stop() -> None:
            stopped.set()

        runtime.on_stop("part", stop)
        runtime.spawn("part", part, restart=False)

    with pytest.raises(ExceptionGroup):
        async with running(EchoSettings(), build), asyncio.timeout(60):
            await stopped.wait()


async def test_a_build_that_fails_is_told_to_the_caller():
    async def build(runtime):
        raise ValueError("no such directory")

    with pytest.raises(ExceptionGroup) as error:
        async with running(EchoSettings(), build):
            pass
    assert error.group_contains(ValueError)


async def test_readiness_waits_for_every_condition():
    readiness = Readiness()
    readiness.expect("feed")
    readiness.set("started", True)
    waiting = asyncio.ensure_future(readiness.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    readiness.set("feed", True)
    async with asyncio.timeout(60):
        await waiting


async def test_the_admin_port_is_free_again_after_a_stop():
    async def build(runtime):
        runtime.port = await serve_admin(runtime)

    async with running(EchoSettings(admin_port=0), build) as runtime:
        port = runtime.port
    async with listening(lambda *_: None, "127.0.0.1", port) as bound:
        assert bound == port


def test_logs_carry_no_secret_by_name_or_by_look():
    stream = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    try:
        logs.configure("echo", "info", "json", stream)
        log = structlog.get_logger("t")
        log.info("a", admin_token="abc", nested={"password": "abc"}, url="nats://galley:abc@127.0.0.1:4222")
        log.info("b", text="Authorization: Bearer abcabcabc", jwt="eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhYmMifQ.abc")
        try:
            raise ValueError("-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----")
        except ValueError:
            log.exception("c")
        logging.getLogger("library").warning("Bearer abcabcabc from %s", "somewhere")
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert [json.loads(line)["event"] for line in lines[:3]] == ["a", "b", "c"]
    assert "abc" not in stream.getvalue()


def test_redaction_keeps_what_is_not_secret():
    assert redact({"token_path": "/var/run/token", "kind": "Secret"}) == {"token_path": REDACTED, "kind": "Secret"}
    assert redact("spiffe://cluster.local/ns/shop/sa/front") == "spiffe://cluster.local/ns/shop/sa/front"


def test_counters_keep_their_exact_names():
    counted = metrics.counter("echo_server_csr_count", "Requests seen.")
    assert metrics.counter("echo_server_csr_count", "again") is counted
    counted.inc()
    by_kind = metrics.counter("echo_errors", "Errors.", ["kind"])
    by_kind.labels(kind='a"b').inc(2)
    metrics.histogram("echo_seconds", "Time.", buckets=[1, 2]).observe(1.5)
    metrics.gauge("echo_things", "Things.").set(7)
    text = metrics.render().decode()
    assert "# TYPE echo_server_csr_count counter\necho_server_csr_count 1.0\n" in text
    assert 'echo_errors{kind="a\\"b"} 2.0\n' in text
    assert 'echo_seconds_bucket{le="2.0"} 1.0' in text
    assert "echo_things 7.0" in text
    assert "_created" not in text


def test_an_opentelemetry_meter_sees_the_same_numbers(monkeypatch):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics.counter("seen_before", "Before.", ["kind"]).labels(kind="a").inc(3)
    monkeypatch.setattr(metrics, "_meter", None)
    metrics.observe_with(provider.get_meter("meshcore"))
    metrics.gauge("seen_after", "After.").set(5)
    data = reader.get_metrics_data()
    points = {
        metric.name: [(point.value, dict(point.attributes)) for point in metric.data.data_points]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert points["seen_before"] == [(3, {"kind": "a"})]
    assert points["seen_after"] == [(5, {})]
    provider.shutdown()


def test_a_console_traceback_shows_no_local_variable():
    stream = io.StringIO()
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        logs.configure("echo", "info", "console", stream)
        private_value = "the-inside"
        try:
            raise ValueError("outside", len(private_value))
        except ValueError:
            structlog.get_logger("t").exception("failed")
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    assert "ValueError" in stream.getvalue()
    assert "the-inside" not in stream.getvalue()
