from datetime import UTC, datetime, timedelta

import pytest
from meshctl.core.certificates import (
    authority_lines,
    blocked,
    certificate_rows,
    field_lines,
    holder_rows,
    left,
    outstanding_rows,
    state_of,
    summary,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW = {
    "serial": "a1",
    "identity": "spiffe://cluster.local/ns/shop/sa/front",
    "proof": "token",
    "peer": "127.0.0.1:1",
    "ended": None,
    "issued_at": "2025-12-31T23:00:00Z",
    "not_after": "2026-01-01T12:30:00Z",
}
CERTIFICATE = {
    "subject": "O=cluster.local",
    "serial": "1",
    "fingerprint_sha256": "ab" * 32,
    "not_after": "2036-01-01T00:00:00Z",
}
WAITING = [
    {"name": "a", "reason": "is away", "until": "2026-01-01T00:00:05Z", "absent": False},
    {"name": "b", "reason": "was not seen", "until": "2025-01-01T00:00:00Z", "absent": True},
]


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        (timedelta(days=3, hours=2, minutes=1), "3d2h"),
        (timedelta(hours=5, minutes=3), "5h3m"),
        (timedelta(minutes=4, seconds=9), "4m9s"),
        (timedelta(), "expired"),
    ],
)
def test_what_is_left_is_told_in_two_units(rest, text):
    assert left(NOW + rest, NOW) == text


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "valid"),
        ({"ended": "b2"}, "replaced"),
        ({"ended": "released"}, "released"),
        ({"ended": "rotated"}, "rotated"),
        ({"not_after": "2025-01-01T00:00:00Z"}, "expired"),
    ],
)
def test_what_has_become_of_a_certificate(change, state):
    assert state_of(ROW | change, NOW) == state


def test_certificates_are_listed_and_shown():
    columns, [row] = certificate_rows([ROW], NOW)
    assert dict(zip(columns, row, strict=True))["LEFT"] == "12h30m"
    lines = field_lines(ROW, NOW)
    assert lines[0].split() == ["state", "valid"]
    assert any(line.split() == ["ended", "-"] for line in lines)


def test_an_authority_tells_why_its_files_are_refused():
    authority = {
        "trust_domain": "cluster.local",
        "kind": "plugged-in",
        "key": "EllipticCurve 256",
        "key_id": "cd" * 32,
        "signer": CERTIFICATE,
        "intermediates": [CERTIFICATE],
        "roots": [CERTIFICATE],
        "registered_roots": [],
        "foreign_roots": [],
        "revocation_lists": 2,
        "bundle_digest": "d1",
        "refusal": "ca-key.pem: is not the key",
    }
    lines = authority_lines(authority, NOW)
    assert lines[-1].split(None, 1) == ["REFUSED", "ca-key.pem: is not the key"]
    assert [line.split()[0] for line in lines].count("root") == 1


def test_who_has_which_bundle():
    holder = {
        "name": "spiffe://x pilot-0",
        "current": True,
        "connected": False,
        "bundle": "d1",
        "not_after": ROW["not_after"],
        "seen_at": ROW["issued_at"],
    }
    _, rows = holder_rows([holder, holder | {"current": False, "bundle": ""}], NOW)
    assert [row[1] for row in rows] == ["current", "none"]
    assert rows[0][2] == "closed"


def test_where_a_rotation_is_and_whom_it_waits_for():
    rotation = {"phase": "distributing", "waiting_for": WAITING}
    assert summary(rotation) == "distributing: 2 confirmations of the new root outstanding"
    assert summary(rotation | {"phase": "signing"}).endswith("certificates of the old root outstanding")
    assert summary({"phase": None, "waiting_for": []}) == "no rotation of the root is running"
    assert [row[2] for row in outstanding_rows(WAITING, NOW)[1]] == ["0m5s", "expired"]
    assert blocked(WAITING) == ["b"]
