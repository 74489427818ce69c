import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.labels import label_violations, parse_selector, selects


def test_every_pair_of_a_selector_must_be_there():
    assert selects({}, {"app": "a"})
    assert selects({"app": "a"}, {"app": "a", "version": "v1"})
    assert not selects({"app": "a", "version": "v2"}, {"app": "a", "version": "v1"})


@pytest.mark.parametrize(
    ("query", "matching", "other"),
    [
        ("app=a", {"app": "a"}, {"app": "b"}),
        ("app==a", {"app": "a"}, {}),
        ("app!=a", {}, {"app": "a"}),
        ("app in (a, b),!canary", {"app": "b"}, {"app": "b", "canary": ""}),
        ("app notin (a)", {"app": "b"}, {"app": "a"}),
        ("example.com/app", {"example.com/app": "x"}, {"app": "x"}),
        ("app=", {"app": ""}, {"app": "a"}),
        ("", {}, None),
    ],
)
def test_selector_queries(query, matching, other):
    selector = parse_selector(query)
    assert selector.matches(matching)
    assert other is None or not selector.matches(other)


@pytest.mark.parametrize("query", ["app in a", "=a", "a b", "app=a b", "!"])
def test_a_broken_query_is_named(query):
    with pytest.raises(MeshError) as caught:
        parse_selector(query)
    assert caught.value.code is ErrorCode.INVALID
    assert "requirement" in str(caught.value)


def test_label_violations_name_the_key():
    found = label_violations({"app": "a", "-bad": "x", "ok": "not ok"}, "metadata.labels")
    assert [violation.field for violation in found] == ["metadata.labels[-bad]", "metadata.labels[ok]"]
