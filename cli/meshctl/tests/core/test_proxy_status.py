from meshctl.core.proxy_status import proxy_status_table, refusals, sync_state, sync_table

ACKED = {"sent": "a", "acked": "a", "pending": False, "lastError": ""}
ROW = {
    "proxy": "front.default",
    "cluster_id": "Kubernetes",
    "istio_version": "1.28.0",
    "pilot": "pilot",
    "resources": {"cds": ACKED, "rds": ACKED | {"pending": True}, "lds": ACKED | {"lastError": "no"}},
}


def test_the_table_names_the_types_that_a_proxy_takes() -> None:
    columns, rows = proxy_status_table([ROW])
    assert columns == ("NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES")
    assert rows == [("front.default", "Kubernetes", "pilot", "1.28.0", "3 (CDS,LDS,RDS)")]


def test_the_verbose_table_tells_what_is_in_sync() -> None:
    _, rows = sync_table([ROW])
    assert rows == [
        ("front.default", "Kubernetes", "SYNCED", "ERROR", "IGNORED", "STALE", "IGNORED", "pilot", "1.28.0")
    ]


def test_what_was_never_sent_is_said_so() -> None:
    assert sync_state({"sent": "", "acked": "", "pending": False, "lastError": ""}) == "NOT SENT"


def test_a_refusal_is_told_whatever_table_is_asked_for() -> None:
    refused = ACKED | {"lastError": "Proto constraint\n failed: " + "x" * 500, "rejected": ["http_proxy"]}
    (line,) = refusals([ROW | {"resources": {"rds": refused, "cds": ACKED}}])
    assert line.startswith(
        "front.default refused its RDS http_proxy and keeps what it had: Proto constraint failed: xxx"
    )
    assert len(line) < 400
    assert refusals([ROW | {"resources": {"cds": ACKED}}]) == []
