"""The same rules for nftables, in Istio's tables and chains: one transaction that replaces what was there. Pure.

A table of the family `inet` has rules of both families: what is the same in both stands once, what names an address
meets packets of its family alone. Where IPv6 is not captured by itself, rules without an address meet it too, as in
Istio.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from envoy_bootstrap.core.capture.config import CaptureConfig
from envoy_bootstrap.core.capture.rules import Rule, capture_rules
from envoy_bootstrap.core.capture.saved_rules import CHAINS, wanted_chains

_HOOKS = {
    ("nat", "PREROUTING"): "{ type nat hook prerouting priority -100 ; }",
    ("nat", "OUTPUT"): "{ type nat hook output priority -100 ; }",
    ("mangle", "PREROUTING"): "{ type filter hook prerouting priority -150 ; }",
    ("mangle", "OUTPUT"): "{ type route hook output priority -150 ; }",
    ("raw", "PREROUTING"): "{ type filter hook prerouting priority -300 ; }",
    ("raw", "OUTPUT"): "{ type filter hook output priority -300 ; }",
}
_TABLES = ("mangle", "nat", "raw")
_FLAGS = frozenset(("--save-mark", "--restore-mark"))
_MATCHES: Mapping[str, Callable[[str, str, str], str]] = {
    # the value, `!= ` where it is negated, and `ip` or `ip6`
    "-i": lambda value, no, _: f"iifname {no}{value}",
    "-o": lambda value, no, _: f"oifname {no}{value}",
    "-p": lambda value, no, _: f"meta l4proto {no}{value}",
    "-s": lambda value, no, ip: f"{ip} saddr {no}{value}",
    "-d": lambda value, no, ip: f"{ip} daddr {no}{value}",
    "--ctstate": lambda value, no, _: f"ct state {no}{value.lower()}",
    "--uid-owner": lambda value, no, _: f"meta skuid {no}{value}",
    "--gid-owner": lambda value, no, _: f"meta skgid {no}{value}",
    "--mark": lambda value, no, _: f"meta mark {no}{value}",
    "--connmark": lambda value, no, _: f"ct mark {no}{value}",
}
_VERDICTS = frozenset(("RETURN", "ACCEPT", "DROP"))


def nft_transaction(config: CaptureConfig) -> str:
    """Input of `nft -f -`, which is applied whole or not at all."""
    lines = [line for table in _TABLES for line in _without(table)]
    families = {version: wanted_chains(capture_rules(config, version)) for version in config.families}
    for table in _TABLES:
        lines += _table(table, {version: tables.get(table, {}) for version, tables in families.items()})
    return "\n".join((*lines, ""))


def nft_removal() -> str:
    """Takes every table of ours away."""
    return "\n".join((*(line for table in _TABLES for line in _without(table)), ""))


def rules_by_chain(transaction: str) -> dict[tuple[str, str], int]:
    """How many rules it adds to each table and chain."""
    added = [line.split()[3:5] for line in transaction.splitlines() if line.startswith("add rule ")]
    return {(table, chain): added.count([table, chain]) for table, chain in added}


def nft_rule(rule: Rule, version: int) -> str:
    """What a rule says in nftables: its matches, a counter, and what becomes of a packet."""
    ip = "ip" if version == 4 else "ip6"
    matches, target, options = _read(rule.words)
    protocol = next((value for option, value, _ in matches if option == "-p"), "")
    said = [_match(option, value, "!= " if negated else "", ip, protocol) for option, value, negated in matches]
    # Istio drops only connections of TCP that are invalid
    if ("--ctstate", "INVALID", False) in matches:
        said.insert(0, "meta l4proto tcp")
    counted = ["counter", _statement(target, options)]
    if target == "TPROXY":
        mark = options["--tproxy-mark"].partition("/")[0]
        counted = [f"tproxy {ip} to :{options['--on-port']}", f"meta mark set {mark}", "counter", "accept"]
    return " ".join((*said, *counted))


def _without(table: str) -> Iterator[str]:
    """Nothing of it is left; a table must be there to be deleted."""
    yield f"add table inet istio-proxy-{table}"
    yield f"delete table inet istio-proxy-{table}"


def _table(table: str, families: Mapping[int, Mapping[str, Sequence[Rule]]]) -> Iterator[str]:
    names = list(dict.fromkeys(chain for chains in families.values() for chain in chains))
    if not names:
        return
    own = f"inet istio-proxy-{table}"
    yield f"add table {own}"
    for chain in names:
        yield f"add chain {own} {_name(chain)} {_HOOKS.get((table, chain), '')}".rstrip()
    for chain in names:
        for text in _merged(
            *(
                [nft_rule(rule, version) for rule in chains.get(chain, ())]
                for version, chains in sorted(families.items())
            )
        ):
            yield f"add rule {own} {_name(chain)} {text}"


def _merged(first: Sequence[str], second: Sequence[str] = ()) -> Iterator[str]:
    """Both lists in their own orders, what they share once."""
    for what, begin, end, other, other_end in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        yield from first[begin:end]
        if what != "equal":
            yield from second[other:other_end]


def _name(chain: str) -> str:
    return chain.lower().replace("_", "-")


def _read(words: Sequence[str]) -> tuple[list[tuple[str, str, bool]], str, dict[str, str]]:
    """Matches (option, value, whether negated), the target, and the target's options."""
    at = words.index("-j")
    matches, module, negated = [], "", False
    rest = iter(words[:at])
    for word in rest:
        if word == "!":
            negated = True
        elif word == "-m":
            module = next(rest)
        else:
            # of the connection, not of the packet
            matches.append(("--connmark" if (module, word) == ("connmark", "--mark") else word, next(rest), negated))
            negated = False
    valued = [word for word in words[at + 2 :] if word not in _FLAGS]
    flags = {word: "" for word in words[at + 2 :] if word in _FLAGS}
    return matches, words[at + 1], dict(zip(valued[::2], valued[1::2], strict=True)) | flags


def _match(option: str, value: str, no: str, ip: str, protocol: str) -> str:
    if option in _MATCHES:
        return _MATCHES[option](value, no, ip)
    ports = f"{{ {value.replace(',', ', ')} }}" if "," in value else value
    return f"{protocol} {'dport' if option == '--dports' else option[2:]} {no}{ports}"


def _statement(target: str, options: Mapping[str, str]) -> str:
    if target in CHAINS:
        return f"jump {_name(target)}"
    if target in _VERDICTS:
        return target.lower()
    if target == "REDIRECT":
        return f"redirect to :{options.get('--to-ports') or options['--to-port']}"
    if target == "CT":
        return f"ct zone set {options['--zone']}"
    if target == "MARK":
        return f"meta mark set {options['--set-mark']}"
    return "ct mark set meta mark" if "--save-mark" in options else "meta mark set ct mark"
