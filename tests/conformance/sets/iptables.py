"""iptables: the rules of each case's flags, in the same order within each chain of each table and family."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envoy_bootstrap.core.capture.config import CaptureConfig, HostFacts, build_config
from envoy_bootstrap.core.capture.flags import read_flags
from envoy_bootstrap.core.capture.rules import capture_rules

from tests.conformance.outcome import Outcome, failed, passed

SET = "iptables"
_ADDRESSES = {False: ("192.0.2.1",), True: ("2001:db8::1",)}


def run(directory: Path) -> Iterator[Outcome]:
    """One outcome for each case."""
    for case in json.loads((directory / "expected.json").read_text(encoding="utf-8")):
        yield compared(case["name"], read_rules((directory / case["golden"]).read_text()), made_rules(config_of(case)))


def compared(name: str, wanted: Any, got: Any) -> Outcome:
    """Whether the rules are the same, chain by chain."""
    if wanted == got:
        return passed(name)
    return failed(name, f"wanted {json.dumps(wanted)}, got {json.dumps(got)}")


def read_rules(text: str) -> list[dict[str, list[str]]]:
    """Rules of each family by table and chain, from what a dry run of Istio prints."""
    families: list[dict[str, list[str]]] = []
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            begun, table = table, line[1:].strip()
            # tables come in order: one that is not behind the last begins the next family
            if not families or (begun and table <= begun):
                families.append({})
        elif line.startswith(("-A ", "-I ")):
            _, chain, *_ = line.split()
            families[-1].setdefault(f"{table} {chain}", []).append(line)
    return families


def made_rules(config: CaptureConfig) -> list[dict[str, list[str]]]:
    """The same of what we make."""
    families = []
    for version in config.families:
        chains: dict[str, list[str]] = {}
        for rule in capture_rules(config, version):
            chains.setdefault(f"{rule.table} {rule.chain}", []).append(rule.line)
        families.append(chains)
    return families


def config_of(case: Mapping[str, Any]) -> CaptureConfig:
    """The settings of a case's flags, variables and machine."""
    facts = case.get("host_facts", {})
    given = {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in case["options"].items()
    }
    servers = (*facts.get("DNSServersV4", ()), *facts.get("DNSServersV6", ()))
    return build_config(
        read_flags(given, case.get("env", {})), HostFacts(_ADDRESSES[facts.get("EnableIPv6", False)], servers)
    )
