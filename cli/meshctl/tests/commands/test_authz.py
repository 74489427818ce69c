"""meshctl authz check from files alone: the deciding rule, or what came near to it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from meshctl.__main__ import app_with
from typer.testing import CliRunner

EXAMPLE = Path(__file__).parents[4] / "examples" / "explain"
MESH, POLICIES = str(EXAMPLE / "mesh.yaml"), str(EXAMPLE / "policies.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app_with(["authz"]), ["authz", "check", *arguments], catch_exceptions=False)


def checked(*more: str, files: tuple[str, ...] = (MESH, POLICIES)) -> dict[str, Any]:
    given = [word for file in files for word in ("-f", file)]
    document: dict[str, Any] = json.loads(run("shop/client", "reviews:9080", *more, *given, "-o", "json").stdout)
    return document


def test_the_deciding_rule_is_named_with_its_place() -> None:
    found = checked("--path", "/reviews/7")
    assert (found["decision"], found["why"]) == ("allowed", "shop/readers rule 0 allows it")
    [policy] = found["policies"]
    assert policy["configs"] == ["AuthorizationPolicy/shop/readers"]
    assert policy["notes"] == ["dry run: shop/tried rule 0 would deny it"]


def test_a_deny_rule_wins() -> None:
    found = checked("--path", "/reviews/drafts/7?x=y")
    assert (found["decision"], found["policies"][0]["rule"]) == ("denied", "shop/no-drafts rule 0")


def test_near_misses_are_told_when_nothing_allows_it() -> None:
    found = checked("--path", "/reviews/7", "--method", "PUT")
    assert found["decision"] == "denied"
    assert [(miss["rule"], miss["why"]) for miss in found["policies"][0]["misses"]] == [
        ("shop/readers rule 0", "the method is PUT"),
        ("shop/readers rule 1", "the caller is spiffe://cluster.local/ns/shop/sa/client"),
    ]


def test_a_request_that_does_not_arrive_is_no_verdict_of_policies() -> None:
    found = checked("--path", "/reviews/7", "-H", "end-user: test-1")
    assert (found["decision"], found["policies"]) == ("unreached", [])
    assert "503" in found["why"]


def test_without_policies_everything_is_allowed() -> None:
    assert checked(files=(MESH,))["why"] == "no policy counts for the workloads that are called"


def test_people_get_places_in_files() -> None:
    told = run("shop/client", "reviews:9080", "--path", "/x", "-f", MESH, "-f", POLICIES).stdout
    assert f"of AuthorizationPolicy shop/readers ({POLICIES}:2)" in told
    assert told.endswith("= denied: no ALLOW rule matches\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["ghost", "reviews"], "no WorkloadEntry"), (["shop/client", "reviews", "-H", "nonsense"], "NAME: VALUE")],
)
def test_wrong_questions_are_refused_clearly(arguments: list[str], said: str) -> None:
    done = run(*arguments, "-f", MESH)
    assert done.exit_code == 1
    assert said in done.stderr
