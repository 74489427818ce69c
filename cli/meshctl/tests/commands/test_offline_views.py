"""explain, diff and proxy-config from files alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from meshctl.__main__ import app_with
from typer.testing import CliRunner

EXAMPLE = Path(__file__).parents[4] / "examples" / "explain"
MESH, CANARY = str(EXAMPLE / "mesh.yaml"), str(EXAMPLE / "canary.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app_with([arguments[0]]), list(arguments), catch_exceptions=False)


def explained(*more: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        run("explain", "client", "reviews", "-n", "shop", "-f", MESH, "-o", "json", *more).stdout
    )
    return document


def test_explain_gives_file_and_line_of_each_object() -> None:
    [route] = [step for step in explained()["steps"] if step["at"] == "route"]
    line = Path(MESH).read_text().splitlines().index("kind: VirtualService")
    assert route["configs"] == [
        {"kind": "VirtualService", "namespace": "shop", "name": "reviews", "file": MESH, "line": line}
    ]
    assert [miss["why"] for miss in route["misses"]] == ["the header end-user is missing"] * 2


def test_explain_takes_the_request_apart() -> None:
    assert explained("--header", "end-user: ada")["endpoints"] == ["10.1.0.2:9080"]
    failing = explained("-H", "end-user: test-1")
    assert (failing["works"], failing["endpoints"]) == (False, [])
    assert "version=v3" in failing["verdict"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ghost", "reviews"], "no WorkloadEntry"),
        (["client", "ftp://reviews"], "neither HOST"),
        (["client", "reviews", "-H", "nonsense"], "is not of the form NAME: VALUE"),
    ],
)
def test_explain_refuses_clearly(arguments: list[str], said: str) -> None:
    done = run("explain", *arguments, "-n", "shop", "-f", MESH)
    assert done.exit_code == 1
    assert said in done.stderr


def test_diff_shows_the_fields_and_what_a_deletion_takes_away() -> None:
    told = run("diff", "-f", CANARY, "--against", MESH, "--proxy", "shop/client").stdout
    assert told.startswith("1 of 1 proxies would be sent something new")
    assert '.routes[everybody].route.timeout: "0s" -> "2s"' in told
    assert f"VirtualService shop/reviews ({CANARY}:2)" in told
    gone = run("diff", "-f", MESH, "--against", MESH, "--proxy", "shop/client", "--delete", "-o", "json").stdout
    changes = {(one["type"], one["change"]) for one in json.loads(gone)["consequences"][0]["resources"]}
    assert ("cds", "removed") in changes
    same = run("diff", "-f", MESH, "--against", MESH, "--proxy", "shop/client").stdout
    assert same == "0 of 1 proxies would be sent something new\n"


def test_diff_between_files_needs_a_proxy_and_the_mesh() -> None:
    assert "--against FILES" in run("diff", "-f", CANARY, "--proxy", "shop/client").stderr
    assert "--proxy NAMESPACE/NAME" in run("diff", "-f", CANARY, "--against", MESH).stderr


@pytest.fixture
def dump(tmp_path: Path) -> str:
    path = tmp_path / "dump.json"
    path.write_text(run("compile", "-f", MESH, "--proxy", "shop/client").stdout)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["clusters", "--fqdn", "reviews.shop.svc.cluster.local"], 4),
        (["clusters", "--fqdn", "reviews.shop.svc.cluster.local", "--subset", "v1"], 1),
        (["clusters", "--port", "1"], 0),
        (["clusters", "--direction", "inbound"], 0),
        (["clusters", "--name", "BlackHoleCluster"], 1),
        (["listeners", "--port", "9080"], 1),
        (["listeners", "--type", "HTTP+TCP", "--address", "0.0.0.0"], 2),
        (["listeners", "--type", "http"], 0),
        (["routes", "--name", "9080"], 1),
        (["routes", "--name", "none"], 0),
        (["endpoints", "--cluster", "outbound|9080|v1|reviews.shop.svc.cluster.local"], 1),
        (["endpoints", "--address", "10.1.0.2"], 2),
        (["endpoints", "--status", "unhealthy"], 0),
        (["ecds"], 0),
    ],
)
def test_proxy_config_reads_a_dump_and_filters_it(dump: str, arguments: list[str], count: int) -> None:
    done = run("proxy-config", *arguments, "--file", dump, "-o", "json")
    assert len(json.loads(done.stdout)) == count, done.stdout


def test_short_is_the_table(dump: str) -> None:
    table = run("proxy-config", "routes", "-f", dump, "-o", "short").stdout
    assert table == run("proxy-config", "routes", "-f", dump).stdout
    assert table.splitlines()[0].split()[:2] == ["NAME", "VHOST"]
    assert "reviews.shop" in table
    whole = run("proxy-config", "all", "-f", dump).stdout
    assert "SERVICE FQDN" in whole
    assert "ENDPOINT" in whole


def test_proxy_config_wants_an_envoy_or_a_file(dump: str) -> None:
    assert run("proxy-config", "clusters").exit_code == 1
    assert run("proxy-config", "clusters", "client", "-f", dump).exit_code == 1
