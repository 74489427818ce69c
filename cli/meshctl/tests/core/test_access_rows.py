from meshctl.core.access_rows import COLUMNS, access_row

RECORD = {
    "started_at": "2026-05-04T10:11:12.345678Z",
    "reporter": "spiffe://cluster.local/ns/shop/sa/pay",
    "instance": "pay-1",
    "verdict": "denied",
    "protocol": "HTTP/1.1",
    "principal": "spiffe://cluster.local/ns/shop/sa/front",
    "request_principal": "",
    "source": "10.0.0.1:40000",
    "destination": "10.0.0.2:9080",
    "method": "GET",
    "authority": "pay:9080",
    "path": "/all",
    "response_code": 403,
    "reason": "rbac_access_denied_matched_policy[ns[shop]-policy[closed]-rule[1]]",
    "policy": "shop/closed",
    "rule": 1,
    "audit_policy": "",
    "audit_rule": 0,
}


def row(**changes: object) -> dict[str, str]:
    return dict(zip(COLUMNS, access_row(RECORD | changes), strict=True))


def test_a_request():
    shown = row()
    assert shown["TIME"] == "2026-05-04T10:11:12.345"
    assert (shown["CALLER"], shown["WORKLOAD"]) == ("shop/front", "shop/pay (pay-1)")
    assert (shown["REQUEST"], shown["CODE"], shown["POLICY"]) == ("GET pay:9080/all", "403", "shop/closed[1]")


def test_an_audit_policy_and_an_end_user():
    shown = row(audit_policy="root/watch", audit_rule=2, request_principal="https://issuer/ann")
    assert shown["POLICY"] == "shop/closed[1],audit:root/watch[2]"
    assert shown["CALLER"] == "shop/front (https://issuer/ann)"


def test_a_connection_of_nobody():
    shown = row(principal="", protocol="TCP", method="", authority="", path="", response_code=0, policy="", reason="")
    assert (shown["CALLER"], shown["REQUEST"]) == ("10.0.0.1:40000", "TCP 10.0.0.2:9080")
    assert (shown["CODE"], shown["POLICY"], shown["REASON"]) == ("-", "-", "-")
