"""Attack 38 of the project's list: authorizers missing, silent, failing or talking too much, each at a real Envoy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from meshcore.testing.addresses import Claim

sys.path.insert(0, str(Path(__file__).parent))

from guarded_workload import REFUSED, guarded, judge_with, policy

PROVIDER = "{name: %s, envoyExtAuthzHttp: {service: judge.shop.svc.cluster.local, port: 8000, timeout: %s%s}}"
PATIENT, SHORT = "30s", "0.3s"
"""How long Envoy waits for an authorizer; short only for one that says nothing."""
ASK = ", provider: {name: %s}"
ANSWERS = {
    "yes": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
    "no": (b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", 403),
    "redirect": (b"HTTP/1.1 302 Go\r\nlocation: http://a/\r\ncontent-length: 0\r\n\r\n", 302),
    "error": (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", 403),
    "nothing": (None, 403),
    "no HTTP": (b"hello\r\n\r\n", 403),
    "a huge head": (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000 + b"\r\ncontent-length: 0\r\n\r\n", 403),
    "a huge body": (b"HTTP/1.1 403 No\r\ncontent-length: 5000000\r\n\r\n" + b"a" * 5_000_000, 403),
}


@pytest.mark.parametrize("said", ANSWERS)
async def test_attack_38_only_a_clear_yes_lets_in(block: Claim, tmp_path: Path, said: str) -> None:
    answer, wanted = ANSWERS[said]
    within = SHORT if answer is None else PATIENT
    mesh = {"extensionProviders": [_yaml(PROVIDER % ("judge", within, ""))]}
    rules = policy("[{to: [{operation: {paths: [/asked]}}]}]", "CUSTOM", more=ASK % "judge")
    async with guarded(block, tmp_path, rules, mesh, judge_with(lambda head: answer)) as door:
        reply = await door.ask("/asked")
        assert (reply.status, bool(reply.saw)) == (wanted, wanted == 200)
        assert (await door.ask("/other")).status == 200


async def test_attack_38_nobody_there_denies_unless_it_is_to_fail_open(block: Claim, tmp_path: Path) -> None:
    rules = policy("[{}]", "CUSTOM", more=ASK % "judge")
    for more, wanted in (("", 403), (', statusOnError: "503"', 503), (", failOpen: true", 200)):
        mesh = {"extensionProviders": [_yaml(PROVIDER % ("judge", PATIENT, more))]}
        async with guarded(block, tmp_path, rules, mesh) as door:
            assert (await door.ask()).status == wanted, more


async def test_attack_38_a_provider_whose_name_is_not_known_denies_what_it_would_be_asked(
    block: Claim, tmp_path: Path
) -> None:
    """The name of the service is nobody's; or it is that of a ServiceEntry, and DNS does not know it."""
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: away, namespace: shop}
spec: {hosts: [nobody.invalid], ports: [{number: 8000, name: http, protocol: HTTP}], resolution: DNS}
---
"""
    rules = policy("[{to: [{operation: {paths: [/asked]}}]}]", "CUSTOM", more=ASK % "judge")
    for config, name in (("", "nobody.shop.svc.cluster.local"), (entry, "nobody.invalid")):
        provider = {"name": "judge", "envoyExtAuthzHttp": {"service": name, "port": 8000}}
        async with guarded(block, tmp_path, config + rules, {"extensionProviders": [provider]}) as door:
            assert (await door.ask("/asked")).status == REFUSED, name
            assert (await door.ask("/other")).status == 200, name


@pytest.mark.parametrize("port", [8001, 0, 99999])
async def test_attack_38_a_provider_that_is_not_there_denies_what_it_would_be_asked(
    block: Claim, tmp_path: Path, port: int
) -> None:
    provider = {"name": "judge", "envoyExtAuthzHttp": {"service": "judge.shop.svc.cluster.local", "port": port}}
    rules = policy("[{to: [{operation: {paths: [/asked]}}]}]", "CUSTOM", more=ASK % "judge")
    async with guarded(block, tmp_path, rules, {"extensionProviders": [provider]}) as door:
        assert (await door.ask("/asked")).status == REFUSED
        assert (await door.ask("/other")).status == 200


async def test_attack_38_a_provider_is_asked_about_its_own_rules_only(block: Claim, tmp_path: Path) -> None:
    """Two providers deny both; a rule whose name begins like the other's provider asks for its own."""
    asked: list[str] = []

    def answer(head: str) -> bytes:
        asked.append(head.split(" ")[1])
        return ANSWERS["yes"][0]

    mesh = {"extensionProviders": [_yaml(PROVIDER % ("a", PATIENT, "")), _yaml(PROVIDER % ("ab", PATIENT, ""))]}
    one = policy("[{to: [{operation: {paths: [/a]}}]}]", "CUSTOM", "x", ASK % "a")
    two = policy("[{to: [{operation: {paths: [/ab]}}]}]", "CUSTOM", "y", ASK % "ab")
    async with guarded(block, tmp_path, one + two, mesh, judge_with(answer)) as door:
        assert [(await door.ask(path)).status for path in ("/a", "/ab", "/c")] == [REFUSED, REFUSED, 200]
    assert asked == []


async def test_attack_38_of_several_providers_each_is_asked_about_its_own_rules_in_every_spelling(
    block: Claim, tmp_path: Path
) -> None:
    asked: list[str] = []

    def answer(head: str) -> bytes:
        asked.append(head.split(" ")[1])
        return ANSWERS["no" if head.startswith("GET /ab") else "yes"][0]

    providers = [_yaml(PROVIDER % (name, PATIENT, f", pathPrefix: /{name}-")) for name in ("a", "ab")]
    several = {"proxyMetadata": {"PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS": "true"}}
    mesh = {"extensionProviders": providers, "defaultConfig": several}
    one = policy("[{to: [{operation: {hosts: [shop.example, both.example]}}]}]", "CUSTOM", "x", ASK % "a")
    two = policy("[{to: [{operation: {hosts: [other.example, both.example]}}]}]", "CUSTOM", "y", ASK % "ab")
    async with guarded(block, tmp_path, one + two, mesh, judge_with(answer)) as door:
        for host in ("shop.example", "u@shop.example:80"):
            assert (await door.ask("/x", host=host)).status == 200, host
        assert asked == ["/a-/x"] * 2
        for host in ("other.example", "u@other.example:80"):
            assert (await door.ask("/x", host=host)).status == REFUSED, host
        assert asked[2:] == ["/ab-/x"] * 2
        for host in ("both.example", "BOTH.example.:80"):
            assert (await door.ask("/x", host=host)).status == REFUSED, host
        assert asked[4:] == ["/a-/x", "/ab-/x"] * 2
        assert (await door.ask("/x", host="third.example")).status == 200
    assert len(asked) == 8


async def test_attack_38_a_request_is_asked_about_in_every_spelling(block: Claim, tmp_path: Path) -> None:
    mesh = {"extensionProviders": [_yaml(PROVIDER % ("judge", PATIENT, ""))]}
    rules = policy(
        '[{to: [{operation: {hosts: [shop.example]}}]}, {when: [{key: "request.headers[x-a]", values: [b]}]}]',
        "CUSTOM",
        more=ASK % "judge",
    )
    async with guarded(block, tmp_path, rules, mesh, judge_with(lambda head: ANSWERS["no"][0])) as door:
        for host in ("shop.example", "u@shop.example", "SHOP.example.:80"):
            assert (await door.ask(host=host)).status == REFUSED, host
        assert (await door.ask(headers="x-a: c\r\nx-a: b\r\n")).status == REFUSED
        assert (await door.ask()).status == 200


def _yaml(text: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(text)
    return found
