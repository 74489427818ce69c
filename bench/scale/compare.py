"""Two results side by side: `make bench-compare A=FILE B=FILE`; the two servers of one result with A alone; without
files, the two newest results of the same name.

A figure counts as changed only where the spreads of its runs do not meet; with one run each, nothing can be said, so
then every difference above a tenth is shown as a guess.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.scale.results import FOLDER, Median, Result, load

GUESS = 0.1
_MORE_IS_BETTER = re.compile(r"_per_second(@|$)")
_SAYS_NOTHING = re.compile(r"_pushes(@|$)|_processors(@|$)|^feed_")


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one group; `word` is better, worse, perhaps ... or empty."""

    group: str
    figure: str
    before: Median
    after: Median
    word: str

    @property
    def percent(self) -> float:
        """Of the median."""
        return (self.after.median / self.before.median - 1) * 100 if self.before.median else 0.0


def differences(before: Result, after: Result) -> Iterator[Difference]:
    """Every figure that both have; one group that only one of them has is compared with the group at its place."""
    for (_, old), (name, new) in zip(before.medians.items(), after.medians.items(), strict=False):
        sure = min(before.repeats, after.repeats) > 1
        for figure in (one for one in old if one in new):
            yield Difference(name, figure, old[figure], new[figure], _word(figure, old[figure], new[figure], sure=sure))


def _word(figure: str, old: Median, new: Median, *, sure: bool) -> str:
    if _SAYS_NOTHING.search(figure) or old.median == new.median:
        return ""
    apart = new.least > old.most or new.most < old.least
    if not apart or (not sure and abs(new.median - old.median) <= GUESS * abs(old.median)):
        return ""
    better = (new.median > old.median) == bool(_MORE_IS_BETTER.search(figure))
    return ("" if sure else "perhaps ") + ("better" if better else "worse")


def newest_two(name: str) -> tuple[Path, Path]:
    """The last result and the one before it; SystemExit when there are none."""
    found = sorted(FOLDER.glob(f"{name}-2*.json"))
    if len(found) < 2:
        sys.exit(f"there are no two results named {name} in {FOLDER.parent.name}/{FOLDER.name}")
    return found[-2], found[-1]


def by_server(both: Result) -> tuple[Result, Result]:
    """The halves of a result of two servers; SystemExit when there are not two."""
    servers = list(dict.fromkeys(run.server for run in both.runs))
    if len(servers) != 2:
        sys.exit(f"{both.name} is of {len(servers)} server(s), not of two")
    before, after = (
        replace(both, name=one, runs=tuple(run for run in both.runs if run.server == one)) for one in servers
    )
    return before, after


def main() -> None:
    """Print what differs."""
    parser = argparse.ArgumentParser(prog="bench.scale.compare", description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, metavar="FILE", help="before and after")
    parser.add_argument("--name", default="scale-table")
    parser.add_argument("--all", action="store_true", help="figures that did not change, too")
    options = parser.parse_args()
    if len(options.results) > 2:
        parser.error("two results are compared")
    if len(options.results) == 1:
        before, after = by_server(load(options.results[0]))
    else:
        before, after = map(load, options.results or newest_two(options.name))
    for one in (before, after):
        loads = f"load average {one.load[0]:.1f} to {one.load[1]:.1f}"
        print(f"{one.name} {one.time}: {one.repeats} runs, {loads}, {one.profile}")
    for one in differences(before, after):
        if one.word or options.all:
            figures = f"{one.before.median:12.2f} -> {one.after.median:12.2f} {one.percent:+8.1f} %"
            print(f"{one.group:<12} {one.figure:<52} {figures}  {one.word}")


if __name__ == "__main__":
    main()
