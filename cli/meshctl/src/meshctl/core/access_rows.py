"""Access records as lines for a person. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("TIME", "VERDICT", "CALLER", "WORKLOAD", "REQUEST", "CODE", "POLICY", "REASON")
REPORTER_COLUMNS = ("REPORTER", "LAST REPORT", "RECORDS", "LOST")
_SPIFFE = re.compile(r"spiffe://[^/]+/ns/([^/]+)/sa/([^/]+)")


def access_row(record: Mapping[str, Any]) -> tuple[str, ...]:
    """One record: `shop/front` stands for an identity, `-` for what a record does not have."""
    policies = [_policy(record, "policy", "rule", ""), _policy(record, "audit_policy", "audit_rule", "audit:")]
    caller = _short(record["principal"]) or record["source"]
    if record["request_principal"]:
        caller = f"{caller} ({record['request_principal']})"
    request = f"{record['method']} {record['authority']}{record['path']}".strip() or record["destination"]
    return (
        str(record["started_at"])[:23].rstrip("Z"),
        record["verdict"],
        caller or "-",
        f"{_short(record['reporter'])} ({record['instance']})",
        request if record["protocol"] != "TCP" else f"TCP {record['destination']}",
        str(record["response_code"] or "-"),
        ",".join(filter(None, policies)) or "-",
        record["reason"] or "-",
    )


def reporter_rows(reporters: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Who reports, and how much of it was lost."""
    rows = [(one["reporter"], str(one["reported_at"])[:19], str(one["records"]), str(one["lost"])) for one in reporters]
    return REPORTER_COLUMNS, rows


def _short(identity: str) -> str:
    found = _SPIFFE.fullmatch(identity)
    return f"{found[1]}/{found[2]}" if found is not None else identity


def _policy(record: Mapping[str, Any], name: str, rule: str, mark: str) -> str:
    return f"{mark}{record[name]}[{record[rule]}]" if record[name] else ""
