"""`python -m tests.conformance CORPUS`: run every set of a corpus and report; exit 1 if any case failed."""

import argparse
import json
import sys
import traceback
from pathlib import Path

from tests.conformance.outcome import Outcome, SetResult, Verdict, failed, not_applicable, table
from tests.conformance.sets import Adapter, adapters

_NO_SET = frozenset(("reference",))
"""Folders of a corpus that hold no cases."""


def run_set(name: str, adapter: Adapter | None, directory: Path) -> SetResult:
    """Every case of one set; an adapter that breaks is a failure of its own and does not stop the others."""
    result = SetResult(name)
    if adapter is None:
        result.outcomes.append(not_applicable("*", "the runner has no adapter for this set"))
        return result
    try:
        result.outcomes.extend(adapter(directory))
    except Exception:  # noqa: BLE001 - whatever it is, it belongs into the report
        result.outcomes.append(failed("*", traceback.format_exc()))
    return result


def main(arguments: list[str]) -> int:
    """Run what was asked for; the result is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder with one folder for each set")
    parser.add_argument("--set", action="append", dest="names", metavar="NAME", help="only this set (repeatable)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("-v", "--verbose", action="store_true", help="with the table, also each case that failed")
    options = parser.parse_args(arguments)
    if not options.corpus.is_dir():
        parser.error(f"{options.corpus} is not a folder")
    present = sorted(path.name for path in options.corpus.iterdir() if path.is_dir() and path.name not in _NO_SET)
    if unknown := sorted(set(options.names or ()) - set(present)):
        parser.error(f"the corpus has no set {', '.join(unknown)}; it has {', '.join(present)}")
    known = adapters()
    results = [
        run_set(title, adapter, options.corpus / name)
        for name in present
        if name in (options.names or present)
        for title, adapter in known.get(name, {name: None}).items()
    ]
    if options.output == "json":
        print(json.dumps([result.document() for result in results], indent=2, ensure_ascii=False))
    else:
        print(table(results))
        if options.verbose:
            print(*(f"{result.name}: {_line(outcome)}" for result in results for outcome in result.outcomes), sep="\n")
    return 1 if any(result.count(Verdict.FAILED) for result in results) else 0


def _line(outcome: Outcome) -> str:
    return f"{outcome.verdict.upper():<15}{outcome.case}: {outcome.detail}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
