"""Citadel is away until certificates have expired: what is open ends in its time, nothing new begins, all returns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import yaml
from mesh import Mesh, client, destination_rule, route, service, virtual_service, wait_until, workload
from meshctl.adapters.envoy_admin import EnvoyAdmin

ECHO = "http://echo:9080/"
LIFE = "30s"
LONGEST_CONNECTION = "4s"
ONCE = route("echo", "v1") | {"retries": {"attempts": 0}}


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    count = {"proxyStatsMatcher": {"inclusionRegexps": [r".*\.ssl\..*"]}}
    told = {"proxy_env": {"SECRET_TTL": LIFE, "PROXY_CONFIG": json.dumps(count)}}
    running = Mesh([client(**told), workload("echo-v1", app="echo", **told)], "--no-restart").start()
    try:
        config = running.mesh_config()
        document = yaml.safe_load(config["data"].get("mesh") or "{}") or {}
        config["data"]["mesh"] = yaml.safe_dump(document | {"maxInboundConnectionDuration": LONGEST_CONNECTION})
        running.apply(config)
        running.apply(service("echo"), destination_rule("echo", "v1"), virtual_service("echo", [ONCE]))
        wait_until("echo answers", lambda: running.get(ECHO).good)
        yield running
    finally:
        running.close()


def last_end(mesh: Mesh) -> datetime:
    """When the last certificate of the two workloads ends."""
    rows = json.loads(mesh.run_here("cert", "list", "-o", "json").stdout)["items"]
    ends = [row["not_after"] for row in rows if row["identity"].endswith(("/sa/client", "/sa/echo"))]
    assert len(ends) == 2
    return max(datetime.fromisoformat(end.replace("Z", "+00:00")) for end in ends)


def handshakes(mesh: Mesh, name: str) -> int:
    """Of those who come: what Envoy begins is done for it before the other side has looked at its certificate."""
    number = int(mesh.workload(name)["address"].rpartition(".")[2])
    found = EnvoyAdmin(mesh.layout.envoy_admin_socket(number)).get(
        "/stats?format=json&filter=^listener.*ssl.handshake$"
    )
    return sum(int(stat["value"]) for stat in found["stats"])


def test_traffic_goes_on_until_expiry_then_fails_closed_and_recovers_by_itself(mesh: Mesh) -> None:
    """Attack 23."""
    wait_until("both follow their certificates", lambda: last_end(mesh) > datetime.now(UTC))
    mesh.kill("citadel")
    assert mesh.get(ECHO).good
    with mesh.traffic(ECHO, rate=20) as traffic:
        end_of_all = end_in_logs(mesh)
        wait_until("the last certificate has expired", lambda: datetime.now(UTC) > end_of_all, 60)
        wait_until("what was open has ended", lambda: not any(one.good for one in traffic.replies[-10:]), 60)
        before = handshakes(mesh, "echo-v1")
        seen = len(traffic.replies)
        traffic.send_more(60)
        assert not any(reply.good for reply in traffic.replies[seen:])
        assert handshakes(mesh, "echo-v1") == before, "no handshake succeeds with a certificate that has expired"
        mesh.up()
        wait_until("traffic is good again", lambda: all(one.good for one in traffic.replies[-10:]), 60)
        good_from = next(index for index, one in enumerate(traffic.replies) if not one.good)
    assert good_from > 20, "while the certificates were valid nothing failed although Citadel was away"
    assert last_end(mesh) > datetime.now(UTC)


def end_in_logs(mesh: Mesh) -> datetime:
    """When the newest certificates end, as the agents told: Citadel is away and cannot be asked."""
    ends = []
    for name, text in mesh.logs():
        if name in ("client.log", "echo-v1.log"):
            issued = [line for line in text.splitlines() if "certificate issued" in line]
            ends.append(_end(issued[-1]))
    assert len(ends) == 2
    return max(ends)


def _end(line: str) -> datetime:
    _, _, rest = line.partition("not_after")
    text = rest.lstrip("\"=: '").split('"')[0].split("'")[0].split()[0]
    return datetime.fromisoformat(text)
