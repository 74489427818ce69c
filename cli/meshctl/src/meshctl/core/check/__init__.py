"""`meshctl check` without any input or output: what was observed, what is wrong, and how both are shown. Pure."""

from meshctl.core.check.finding import Finding, Level
from meshctl.core.check.observed import Answer, Observed, Service
from meshctl.core.check.report import Table, closing, document, findings, summary, tables

__all__ = [
    "Answer",
    "Finding",
    "Level",
    "Observed",
    "Service",
    "Table",
    "closing",
    "document",
    "findings",
    "summary",
    "tables",
]
