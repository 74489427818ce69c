"""Prometheus of the profile `observability`: every target, every rule, and every query of every panel of Grafana.

Grafana's own image is not everywhere; what its panels ask is asked of Prometheus itself.
"""

import json
import math
import time

import httpx
import pytest
import yaml
from compose_stack import ROOT, SHOP

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]
PROMETHEUS = "http://127.0.0.1:9090"
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())


@pytest.fixture(scope="module")
def prometheus(stack):
    stack.compose("--profile", "observability", "up", "-d", "--no-deps", "--wait", "--wait-timeout", "60", "prometheus")
    with httpx.Client(base_url=PROMETHEUS, timeout=60) as client:
        yield client
    stack.compose("--profile", "observability", "rm", "-s", "-f", "-v", "prometheus")


def ask(prometheus, query):
    answer = prometheus.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


def test_every_target_is_scraped(prometheus):
    wanted = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in wanted for static in job["static_configs"] for target in static["targets"]}
    deadline = time.monotonic() + 60
    while True:
        found = {
            one["labels"]["instance"]: one for one in prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
        }
        if all(one["health"] == "up" for one in found.values()) and set(found) == targets:
            return
        errors = {name: one["lastError"] for name, one in found.items() if one["health"] != "up"}
        assert time.monotonic() < deadline, errors
        time.sleep(0.5)


def panels():
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield pytest.param(target["expr"], id=f"{path.stem}-{panel['title']}-{target['refId']}")


@pytest.mark.parametrize("query", list(panels()))
def test_a_panel_has_data_after_traffic_and_a_change(stack, prometheus, query):
    deadline = time.monotonic() + 90
    with httpx.Client() as shop:
        while True:
            for _ in range(5):
                shop.get(SHOP, timeout=60)
            values = [float(one["value"][1]) for one in ask(prometheus, query)]
            if any(not math.isnan(value) for value in values):
                return
            # what is counted by change needs one within the window
            stack.touch_config()
            assert time.monotonic() < deadline, f"no data: {query}"


def test_every_rule_is_evaluated_and_nothing_is_wrong(prometheus):
    deadline = time.monotonic() + 60
    while True:
        groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
        rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
        if all(rule["health"] == "ok" for rule in rules.values()):
            break
        assert time.monotonic() < deadline, rules
        time.sleep(0.5)
    assert set(rules) == {rule.get("alert", rule.get("record")) for group in RULES["groups"] for rule in group["rules"]}
    assert not [name for name, rule in rules.items() if rule.get("state") == "firing"]
