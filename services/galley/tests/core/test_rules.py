"""The shared rules one by one: names, header values, patterns, gateways, references."""

from collections.abc import Callable
from pathlib import Path

import pytest
from galley.core.kinds.virtual_service.http_match import check_http_match
from galley.core.references import missing_subsets
from galley.core.rules import headers, label_maps, names, patterns
from galley.core.rules.report import Report
from galley.core.rules.retries import check_retries
from hypothesis import given
from hypothesis import strategies as st
from meshcore.model.virtual_service import HttpMatchRequest, HttpRetry, StringMatch
from meshcore.testing.golden import check_golden


def errors(check: Callable[..., object], *arguments: object) -> list[str]:
    report = Report()
    check(report, "field", *arguments)
    return [violation.message for violation in report.errors]


@pytest.mark.parametrize(
    "host", ["reviews", "a.b", "A.b", "a.b.", "*", "*.b", "*-a.b", "*a.b", "xn--a.b", "1.a", "1", "a.1."]
)
def test_good_wildcard_hosts(host: str) -> None:
    assert names.domain_fault(host, wildcard=True) is None


@pytest.mark.parametrize(
    "host", ["", "a..b", "-a", "a-", "a_b", "a.*.b", "**", "a.1", "1.1", "a" * 64, "a." * 200, "a b"]
)
def test_bad_wildcard_hosts(host: str) -> None:
    assert names.domain_fault(host, wildcard=True) is not None


@pytest.mark.parametrize(("host", "good"), [("a", True), ("1", False), ("1.", True), ("a.1", False), ("*.a", False)])
def test_full_names(host: str, *, good: bool) -> None:
    assert (names.domain_fault(host) is None) is good


@pytest.mark.parametrize(
    ("key", "good"),
    [("app", True), ("A.b/app", True), ("a..b/app", False), ("-a/app", False), ("a/b/c", False), ("a" * 64, False)],
)
def test_keys_of_labels(key: str, *, good: bool) -> None:
    assert (errors(label_maps.check_labels, {key: "v"}) == []) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("10.0.0.0/8", True),
        ("::/0", True),
        ("10.0.0.1", True),
        ("10.0.0.0/33", False),
        ("a/8", False),
        ("1/2/3", False),
    ],
)
def test_subnets(text: str, *, good: bool) -> None:
    assert (errors(names.check_subnet, text) == []) is good


@pytest.mark.parametrize(
    "value",
    ["", "plain", "100%%", "%REQ(:path)%", "%PROTOCOL:10%", '%DYNAMIC_METADATA(["a","b"])%', "a %REQ(x?y)% b", "\t"],
)
def test_good_header_values(value: str) -> None:
    assert errors(headers.check_value, value) == []


@pytest.mark.parametrize(
    "value", ["100%", "%", "%REQ(x%", "%req(x)%", "%REQ(x)", '%A(["a)%', "%A(x))%", "%REQ(x):10%", "a\nb", "\x7f"]
)
def test_bad_header_values(value: str) -> None:
    assert errors(headers.check_value, value)


@given(st.text(max_size=40))
def test_any_header_value_gets_a_verdict(value: str) -> None:
    assert len(errors(headers.check_value, value)) <= 1
    escaped = "".join(char for char in value if char.isprintable()).replace("%", "%%")
    assert errors(headers.check_value, escaped) == []


@pytest.mark.parametrize(
    ("pattern", "good"), [("a+", True), ("", False), ("(?=a)", False), ("a" * 1025, False), ("(", False)]
)
def test_patterns_are_re2(pattern: str, *, good: bool) -> None:
    assert (errors(patterns.check_regex, pattern) == []) is good


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("outbound_.80_._.reviews.shop.svc.cluster.local", True),
        ("outbound_.x_._.reviews", False),
        ("outbound_.80_._.1", False),
        ("*.example.com", True),
        ("under_score", False),
    ],
)
def test_sni_hosts_of_gateways(host: str, *, good: bool) -> None:
    assert (errors(names.check_sni_auto_host, host) == []) is good


@pytest.mark.parametrize(
    ("conditions", "good"), [("5xx,503", True), ("5xx, 503", False), ("5xx,", False), ("999", False), ("reset", True)]
)
def test_conditions_of_retries(conditions: str, *, good: bool) -> None:
    assert (errors(check_retries, HttpRetry(attempts=1, retry_on=conditions)) == []) is good


def test_subset_is_found_in_any_rule_that_covers_the_host() -> None:
    def rule(host: str, *subsets: str) -> dict[str, object]:
        spec = {"host": host, "subsets": [{"name": name} for name in subsets]}
        return {"metadata": {"namespace": "shop"}, "spec": spec}

    route = [{"destination": {"host": "reviews.shop.svc.cluster.local", "subset": "v1"}}]
    mirrors = [{"destination": {"host": "other", "subset": "v9"}}]
    virtual_service = {"spec": {"http": [{"route": route, "mirrors": mirrors}], "tcp": [{"route": route}]}}
    known = [rule("*.shop.svc.cluster.local", "v1"), rule("reviews.shop.svc.cluster.local", "v2")]
    (warning,) = missing_subsets(virtual_service, known, "cluster.local")
    assert warning.startswith("spec.http[0].mirrors[0].destination.subset: ")
    assert len(missing_subsets(virtual_service, [], "cluster.local")) == 3
    assert missing_subsets({"spec": {}}, known, "cluster.local") == []


def test_golden_helper_sees_stale_missing_and_different_files(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text("x")
    with pytest.raises(AssertionError, match="missing"):
        check_golden(tmp_path, {"out": "1"}, ["in.yaml"], update=False)
    check_golden(tmp_path, {"out": "1"}, ["in.yaml"], update=True)
    check_golden(tmp_path, {"out": "1"}, ["in.yaml"], update=False)
    with pytest.raises(AssertionError, match="differs"):
        check_golden(tmp_path, {"out": "2"}, ["in.yaml"], update=False)
    with pytest.raises(AssertionError, match="stale"):
        check_golden(tmp_path, {}, ["in.yaml"], update=False)
    check_golden(tmp_path, {}, ["in.yaml"], update=True)
    assert [path.name for path in tmp_path.iterdir()] == ["in.yaml"]


def test_a_value_that_envoy_holds_too_long_is_refused() -> None:
    assert errors(headers.check_value, "v" * 16384) == []
    assert errors(headers.check_value, "v" * 16385) == ["a header's value is too long for Envoy"]
    assert errors(headers.check_value, "é" * 8193) == ["a header's value is too long for Envoy"]


@pytest.mark.parametrize(("name", "good"), [("q", True), ("q" * 1024, True), ("q" * 1025, False), ("", False)])
def test_names_of_query_parameters_are_bounded(name: str, good: bool) -> None:
    match = HttpMatchRequest(query_params={name: StringMatch(exact="x")})
    report = Report()
    check_http_match(report, "match", match, in_mesh=True)
    assert [violation.field for violation in report.errors] == ([] if good else ["match.queryParams"])
