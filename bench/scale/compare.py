"""Two results side by side: `make bench-compare A=FILE B=FILE`; the two servers of one result with A alone; without
files, the two newest results of the same name.

A figure counts as changed only where the spreads of its runs do not meet. Those of five runs each do so by chance once
in 126 times; with fewer every difference above a tenth is shown as a guess.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.scale.results import FOLDER, Median, Result, load

GUESS = 0.1
SURE = 5
"""Runs of each."""
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
    """Every figure that both have; a server that only one of them has is compared with one of the same transport."""
    for name, new in after.medians.items():
        if (old := _partner(name, before.medians)) is None:
            continue
        sure = min(before.repeats, after.repeats) >= SURE
        for figure in (one for one in old if one in new):
            yield Difference(name, figure, old[figure], new[figure], _word(figure, old[figure], new[figure], sure=sure))


def _partner(name: str, groups: Mapping[str, Mapping[str, Median]]) -> Mapping[str, Median] | None:
    """Groups are named by server and transport, or by the transport alone."""
    if name in groups:
        return groups[name]
    return next((one for other, one in groups.items() if other.split()[-1] == name.split()[-1]), None)


def _word(figure: str, old: Median, new: Median, *, sure: bool) -> str:
    if _SAYS_NOTHING.search(figure) or old.median == new.median:
        return ""
    apart = new.least > old.most or new.most < old.least
    if not apart or (not sure and abs(new.median - old.median) <= GUESS * abs(old.median)):
        return ""
    better = (new.median > old.median) == bool(_MORE_IS_BETTER.search(figure))
    return ("" if sure else "perhaps ") + ("better" if better else "worse")


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


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
    parser.add_argument("results", nargs="*", type=_file, metavar="FILE", help="before and after")
    parser.add_argument("--name", default="scale-table")
    parser.add_argument("--all", action="store_true", help="figures that did not change, too")
    options = parser.parse_args()
    if len(options.results) > 2:
        parser.error("two results are compared")
    if len(options.results) == 1:
        before, after = by_server(load(options.results[0]))
    else:
        before, after = map(load, options.results or newest_two(options.name))
    print("\n".join(said(before, after, whole=options.all)))


def said(before: Result, after: Result, *, whole: bool = False) -> Iterator[str]:
    """What is compared, whether it can be, and what differs; the `whole` is every figure."""
    for one in (before, after):
        loads = f"load average {one.load[0]:.1f} to {one.load[1]:.1f}"
        sizes = ", ".join(f"{one.profile[key]:,} {key}" for key in ("services", "proxies", "classes"))
        yield f"{one.name} {one.time}: {one.repeats} runs, {loads}, {sizes}"
    for key in before.profile.keys() & after.profile.keys():
        if key != "runs" and before.profile[key] != after.profile[key]:
            yield f"not measured alike: {key} {before.profile[key]} and {after.profile[key]}"
    differ = list(differences(before, after))
    shown = differ if whole else [one for one in differ if one.word]
    for one in shown:
        figures = f"{one.before.median:12.2f} -> {one.after.median:12.2f} {one.percent:+8.1f} %"
        yield f"{one.group:<12} {one.figure:<52} {figures}  {one.word}".rstrip()
    if not shown:
        yield f"none of {len(differ)} figures differs by more than its spread"


if __name__ == "__main__":
    main()
