"""nftables: the rules of each case's flags, in the same order for packets of either family within each chain."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envoy_bootstrap.core.capture.nft_rules import nft_transaction

from tests.conformance.outcome import Outcome
from tests.conformance.sets.iptables import compared, config_of

SET = "nftables"
_MATCH = re.compile(
    r"(iifname|oifname|l4proto|ip6? [sd]addr|ct state|ct mark|(?:tcp|udp) [sd]port|mark|sk[ug]id) (!= |)(\{[^}]*\}|\S+)"
)
_PLACED = re.compile(r"(add|insert) rule inet istio-proxy-(\w+) (\S+) (?:index (\d+) )?(.*)")
Chains = dict[str, list[tuple[list[str], str]]]


def run(directory: Path) -> Iterator[Outcome]:
    """One outcome for each case."""
    for case in json.loads((directory / "expected.json").read_text(encoding="utf-8")):
        config = config_of(case)
        wanted, got = (
            [_seen(read_transaction(text), version) for version in config.families]
            for text in ((directory / case["golden"]).read_text(), nft_transaction(config))
        )
        yield compared(case["name"], wanted, got)


def read_transaction(text: str) -> Chains:
    """The rules of each chain in the order that they have in the end: matches, and what becomes of a packet."""
    chains: Chains = {}
    for line in text.splitlines():
        if (found := _PLACED.fullmatch(line)) is None:
            continue
        how, table, chain, index, rule = found.groups()
        rules = chains.setdefault(f"{table} {chain}", [])
        place = len(rules) if how == "add" else int(index or 0)
        rules.insert(place, _meaning(rule.replace("meta ", "")))
    return chains


def _meaning(rule: str) -> tuple[list[str], str]:
    said = re.split(r"counter |(?=tproxy)", rule, maxsplit=1)[0]
    done = rule.removeprefix(said).replace("counter ", "")
    matches = {"".join((name, " ", no, value)) for name, no, value in _MATCH.findall(said)}
    if any(match.startswith("tcp ") for match in matches):
        matches.discard("l4proto tcp")
    if any(match.startswith("udp ") for match in matches):
        matches.discard("l4proto udp")
    return sorted(matches), done


def _seen(chains: Chains, version: int) -> dict[str, Any]:
    """What packets of one family meet."""
    other = "ip6 " if version == 4 else "ip "
    return {
        name: [rule for rule in rules if not any(match.startswith(other) for match in rule[0])]
        for name, rules in sorted(chains.items())
    }
