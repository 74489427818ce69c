"""Capture by nftables: our own tables, which nobody else has rules in, replaced in one transaction. No shell."""

import re
import shutil
from collections.abc import Callable

from meshcore.errors import ErrorCode, MeshError

from envoy_bootstrap.adapters.capture.host import only_one_here
from envoy_bootstrap.adapters.capture.routes import add_routes, remove_routes
from envoy_bootstrap.adapters.capture.xtables import run
from envoy_bootstrap.core.capture.config import CaptureConfig
from envoy_bootstrap.core.capture.nft_rules import nft_removal, nft_transaction, rules_by_chain


class NftCapture:
    """The rules of one configuration in this network namespace."""

    def __init__(self, config: CaptureConfig, say: Callable[[str], None]) -> None:
        self._config, self._say = config, say
        self._nft = shutil.which("nft")
        if self._nft is None:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "there is no nft: --native-nftables needs nftables")

    def missing(self) -> list[str]:
        """Chains that have not as many rules as they should; changes nothing, and does not compare what rules say."""
        found = _counted(run((str(self._nft), "-s", "list", "ruleset")))
        wanted = rules_by_chain(nft_transaction(self._config))
        return [
            f"table {table} has {found.get((table, chain), 0)} rules in {chain} and should have {count}"
            for (table, chain), count in wanted.items()
            if found.get((table, chain), 0) != count
        ]

    def apply(self) -> None:
        """Replace whatever is in our tables; a failure changes nothing."""
        with only_one_here():
            add_routes(self._config)
            run((str(self._nft), "-f", "-"), nft_transaction(self._config))
        self._say("the rules are in force")

    def remove(self) -> None:
        """Take our tables, routes and addresses away."""
        with only_one_here():
            run((str(self._nft), "-f", "-"), nft_removal())
            remove_routes(self._config)
        self._say("the rules are gone")


def _counted(listing: str) -> dict[tuple[str, str], int]:
    """How many rules each chain of each table of `inet` has, as `nft list` prints them: one a line."""
    found: dict[tuple[str, str], int] = {}
    table = chain = ""
    for line in listing.splitlines():
        word = line.strip()
        if begun := re.fullmatch(r"table (\w+) (\S+) \{", word):
            table = begun[2] if begun[1] == "inet" else ""
        elif begun := re.fullmatch(r"chain (\S+) \{", word):
            chain = begun[1]
            found[(table, chain)] = 0
        elif word == "}":
            chain = ""
        elif chain and word and not word.startswith("type "):
            found[(table, chain)] += 1
    return found
