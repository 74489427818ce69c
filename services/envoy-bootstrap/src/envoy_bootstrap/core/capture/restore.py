"""Input of iptables-restore --noflush that brings tables from one state to another; each table in one step. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from envoy_bootstrap.core.capture.config import CaptureConfig
from envoy_bootstrap.core.capture.rules import Rule, capture_rules
from envoy_bootstrap.core.capture.saved_rules import CHAINS, GUARD, Ours, SavedTable, wanted_chains

_GUARDED = ("INPUT", "FORWARD", "OUTPUT")


def own_rules(config: CaptureConfig, version: int) -> Iterable[Rule]:
    """Every rule that this configuration may have put into the chains of the kernel, in either mode."""
    for is_tproxy in (True, False):
        yield from capture_rules(replace(config, is_tproxy=is_tproxy, drops_invalid=True), version)


def applied(rules: Sequence[Rule], tables: Iterable[str], saved: Mapping[str, SavedTable], ours: Ours) -> str:
    """Gives these tables exactly `rules`: what is there of ours goes, everybody else's stays."""
    wanted = wanted_chains(rules)
    parts = []
    for table in sorted(tables):
        new = [f"-N {chain}" for chain in wanted.get(table, {}) if chain in CHAINS]
        new += [rule.line for rule in rules if rule.table == table]
        parts.append(_table(table, _removed(table, saved, ours), new))
    return "".join(parts)


def applied_to_none(rules: Sequence[Rule]) -> str:
    """The same where there is nothing yet."""
    return applied(rules, {rule.table for rule in rules}, {}, Ours((), {}))


def removed(saved: Mapping[str, SavedTable], ours: Ours) -> str:
    """Takes everything of ours out of every table."""
    return "".join(_table(table, _removed(table, saved, ours), []) for table in sorted(saved))


def restored(before: Mapping[str, SavedTable], now: Mapping[str, SavedTable], ours: Ours) -> str:
    """Brings back what was ours before, of the tables where it is otherwise now."""
    parts = []
    for table in sorted(now):
        old = ours.lines(table, before[table]) if table in before else {}
        if old != ours.lines(table, now[table]):
            back = [f"-N {chain}" for chain in old if chain in CHAINS]
            back += [line for lines in old.values() for line in lines]
            parts.append(_table(table, _removed(table, now, ours), back))
    return "".join(parts)


def guarded() -> str:
    """Drops TCP and UDP while rules are replaced: nothing slips past the proxy in between."""
    new = [f"-N {GUARD}", *(f"-A {GUARD} -p {protocol} -j DROP" for protocol in ("tcp", "udp"))]
    return _table("filter", [], [*new, *(f"-I {chain} 1 -j {GUARD}" for chain in _GUARDED)])


def unguarded(saved: Mapping[str, SavedTable]) -> str:
    """Takes the guard away, also one that a run has left that was killed; empty when there is none."""
    chains = saved["filter"].chains if "filter" in saved else {}
    old = [_deleted(line) for lines in chains.values() for line in lines if line.endswith(f"-j {GUARD}")]
    if GUARD in chains:
        old += [f"-F {GUARD}", f"-X {GUARD}"]
    return _table("filter", old, [])


def _removed(table: str, saved: Mapping[str, SavedTable], ours: Ours) -> list[str]:
    if table not in saved:
        return []
    own = ours.lines(table, saved[table])
    jumps = [_deleted(line) for chain, lines in own.items() if chain not in CHAINS for line in lines]
    chains = [chain for chain in own if chain in CHAINS]
    # chains jump to one another: all are empty before the first goes
    return [*jumps, *(f"-F {chain}" for chain in chains), *(f"-X {chain}" for chain in chains)]


def _deleted(line: str) -> str:
    return f"-D{line.removeprefix('-A')}"


def _table(table: str, old: Sequence[str], new: Sequence[str]) -> str:
    return "\n".join((f"*{table}", *old, *new, "COMMIT", "")) if old or new else ""
