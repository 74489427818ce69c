"""What netfilter has now, as iptables-save prints it, and how it differs from what it should have. Pure.

The kernel gives rules back in other words than they were given in (marks in hexadecimal, modules that options imply,
defaults): rules are compared by what they mean, in their order.
"""

import ipaddress
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from envoy_bootstrap.core.capture.rules import Rule

GUARD = "ISTIO_GUARD"
"""Lets nothing pass while rules are replaced."""
CHAINS = frozenset(
    f"ISTIO_{name}"
    for name in ("INBOUND", "IN_REDIRECT", "OUTPUT", "REDIRECT", "OUTPUT_DNS", "DIVERT", "TPROXY", "DROP", "GUARD")
)
"""The chains that are ours; all others are somebody else's, whatever their names begin with."""

_LONG = {
    "-s": "--source",
    "-d": "--destination",
    "-i": "--in-interface",
    "-o": "--out-interface",
    "-p": "--protocol",
    "-j": "--jump",
    "--to-port": "--to-ports",
    "--set-mark": "--set-xmark",
    "--destination-port": "--dport",
    "--source-port": "--sport",
}
_MARKS = frozenset(("--mark", "--set-xmark", "--tproxy-mark"))
_DEFAULTS = frozenset(
    (
        ("--nfmask", "0xffffffff"),
        ("--ctmask", "0xffffffff"),
        ("--on-ip", "0.0.0.0"),
        ("--on-ip", "::"),
    )
)
Meaning = frozenset[tuple[str, str, bool]]
"""Options, their values, and whether they are negated."""


@dataclass(frozen=True, slots=True)
class SavedTable:
    """One table: the lines of each chain, with their `-A CHAIN`; a chain without rules is there with none."""

    chains: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one table is from what it should be.

    `is_absent`: nothing of ours is there. `reasons`: what is otherwise than it should be; with none the table is right.
    """

    table: str
    is_absent: bool
    reasons: tuple[str, ...]


def parse_saved(text: str) -> dict[str, SavedTable]:
    """Tables of iptables-save; what is no table, chain or rule (comments of other tools) is passed over."""
    tables: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            current = tables.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            current.setdefault(line[1:].split(" ", 1)[0], [])
        elif line.startswith("-A "):
            current.setdefault(line.split(" ", 2)[1], []).append(line.rstrip())
    return {
        name: SavedTable({chain: tuple(rules) for chain, rules in chains.items()}) for name, chains in tables.items()
    }


def saved_meaning(line: str, owners: Mapping[str, str]) -> Meaning:
    """Of a line of iptables-save; one that cannot be read means nothing that is ours."""
    try:
        return meaning(shlex.split(line)[2:], owners)
    except ValueError:
        return frozenset()


def meaning(words: Iterable[str], owners: Mapping[str, str]) -> Meaning:
    """A rule without its place; `owners` gives the numbers of users and groups that are written by name."""
    options: list[tuple[str, list[str], bool]] = []
    negated = False
    for word in words:
        if word == "!":
            negated = True
        elif word.startswith("-"):
            options.append((_LONG.get(word, word), [], negated))
            negated = False
        elif options:
            options[-1][1].append(word)
    found = set()
    for option, values, is_not in options:
        value = _value(option, " ".join(values), owners)
        # a module is implied by its options
        if option not in ("-m", "--match") and (option, value) not in _DEFAULTS:
            found.add((option, value, is_not))
    return frozenset(found)


def _value(option: str, value: str, owners: Mapping[str, str]) -> str:
    if option in ("--source", "--destination"):
        return str(ipaddress.ip_network(value, strict=False))
    if option in ("--uid-owner", "--gid-owner"):
        return owners.get(f"{option[2:5]}:{value}", value)
    if option in _MARKS:
        mark, _, mask = value.partition("/")
        return f"{int(mark, 0):#x}/{int(mask or '0xffffffff', 0):#x}"
    if option == "--ctstate":
        return ",".join(sorted(value.split(",")))
    return value


def wanted_chains(rules: Sequence[Rule]) -> dict[str, dict[str, list[Rule]]]:
    """The rules of each table and chain in the order that they have in the end; chains that are jumped to are there."""
    tables: dict[str, dict[str, list[Rule]]] = {}
    for rule in rules:
        chain = tables.setdefault(rule.table, {}).setdefault(rule.chain, [])
        chain.insert(len(chain) if rule.position is None else rule.position - 1, rule)
    for rule in rules:
        if rule.target in CHAINS:
            tables[rule.table].setdefault(rule.target, [])
    return tables


class Ours:
    """Tells our rules in the chains of the kernel from those of others: by where they jump to, or what they say."""

    def __init__(self, rules: Iterable[Rule], owners: Mapping[str, str]) -> None:
        self._owners = owners
        self._said = {
            (rule.table, rule.chain, meaning(rule.words, owners)) for rule in rules if rule.chain not in CHAINS
        }

    def lines(self, table: str, saved: SavedTable) -> dict[str, tuple[str, ...]]:
        """Our chains with all that is in them, and our rules in the other chains."""
        found = {}
        for chain, lines in saved.chains.items():
            own = lines if chain in CHAINS else tuple(line for line in lines if self._is_own(table, chain, line))
            if own or chain in CHAINS:
                found[chain] = own
        return found

    def _is_own(self, table: str, chain: str, line: str) -> bool:
        said = saved_meaning(line, self._owners)
        jumps = {value for option, value, _ in said if option in ("--jump", "-g", "--goto")}
        return bool(jumps & CHAINS) or (table, chain, said) in self._said


def differences(
    rules: Sequence[Rule], saved: Mapping[str, SavedTable], ours: Ours, owners: Mapping[str, str]
) -> tuple[Difference, ...]:
    """Each table that has something of ours or should have, in the order of their names."""
    wanted = wanted_chains(rules)
    found = {name: own for name, table in saved.items() if (own := ours.lines(name, table))}
    made = []
    for table in sorted(wanted.keys() | found.keys()):
        should, has = wanted.get(table, {}), found.get(table, {})
        reasons = tuple(
            reason
            for chain in sorted(should.keys() | has.keys())
            if (reason := _difference(table, chain, should.get(chain), has.get(chain), owners))
        )
        made.append(Difference(table, not has, reasons))
    return tuple(made)


def _difference(
    table: str, chain: str, should: Sequence[Rule] | None, has: Sequence[str] | None, owners: Mapping[str, str]
) -> str:
    if has is None:
        return f"table {table} lacks {'the chain' if chain in CHAINS else 'our rules in'} {chain}"
    if should is None:
        return (
            f"table {table} has {'the chain' if chain in CHAINS else 'rules of ours in'} {chain}, which it should not"
        )
    wanted = [meaning(rule.words, owners) for rule in should]
    if wanted == [saved_meaning(line, owners) for line in has]:
        return ""
    return f"table {table} has other rules in {chain} than it should"
