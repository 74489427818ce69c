"""A WorkloadEntry of its own."""

from meshcore.model.workload import WorkloadEntry

from galley.core.rules.report import Report
from galley.core.rules.workload import check_workload_entry


def validate(entry: WorkloadEntry, report: Report) -> None:
    """The rules of any entry, wherever it is written."""
    check_workload_entry(report, "spec", entry.spec)
