"""Patches of the bootstrap: merged, checked by a real Envoy, kept for a start without Pilot."""

import json
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy_bootstrap.adapters.bootstrap_patch import BootstrapPatch
from meshcore.testing.envoy import envoy_path, validate

PLAIN: dict[str, Any] = {
    "node": {"id": "a", "cluster": "b"},
    "stats_flush_interval": "5s",
    "layered_runtime": {"layers": [{"name": "own", "static_layer": {"a": 1}}]},
}


def patch(**fields: Any) -> bytes:
    return bootstrap_pb2.Bootstrap(**fields).SerializeToString()


async def settled(directory: Any, *received: bytes) -> dict[str, Any]:
    found = BootstrapPatch(directory)
    for one in received:
        found.received(one)
    await found.settle(envoy_path(), PLAIN)
    assert not (directory / "bootstrap-trial.json").exists()
    return dict(found.applied(PLAIN))


async def test_a_patch_is_merged_into_the_bootstrap(tmp_path: Any) -> None:
    made = await settled(tmp_path, patch(enable_dispatcher_stats=True, stats_flush_interval={"seconds": 2}))
    assert (made["stats_flush_interval"], made["enable_dispatcher_stats"]) == ("2s", True)
    assert made["layered_runtime"] == PLAIN["layered_runtime"]
    validate(made)


async def test_a_patch_that_envoy_refuses_is_left_out(tmp_path: Any) -> None:
    assert await settled(tmp_path, patch(static_resources={"listeners": [{"name": "without-address"}]})) == PLAIN


async def test_nothing_is_patched_when_pilot_says_so_and_the_last_patch_is_forgotten(tmp_path: Any) -> None:
    assert await settled(tmp_path, patch(enable_dispatcher_stats=True), b"") == PLAIN
    assert list(tmp_path.iterdir()) == []


async def test_the_last_patch_counts_when_pilot_says_nothing(tmp_path: Any, monkeypatch: Any) -> None:
    assert (await settled(tmp_path, patch(enable_dispatcher_stats=True)))["enable_dispatcher_stats"]
    monkeypatch.setattr("envoy_bootstrap.adapters.bootstrap_patch._WITHIN", 0.01)
    assert (await settled(tmp_path))["enable_dispatcher_stats"]
    assert json.loads(json.dumps(PLAIN)) == PLAIN
