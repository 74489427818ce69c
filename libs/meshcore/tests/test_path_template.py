"""Templates of paths: what Envoy can match, and what it would refuse, or crash on."""

import pytest
from meshcore.path_template import envoy_template, template_fault


@pytest.mark.parametrize("path", ["/a", "/a*", "/{*}/b/{**}", "/{**}/b", "*", "a", "//a", "/{*}/", "/" + "a" * 500])
def test_paths_of_policies(path: str) -> None:
    assert template_fault(path) is None


@pytest.mark.parametrize("path", ["/{**}/{*}", "/{**}/{**}", "/{a}", "/{*}.txt", "/a{", "/{*}/a b", "/a*b/{*}"])
def test_what_envoy_refuses_is_no_path_of_a_policy(path: str) -> None:
    assert template_fault(path)


@pytest.mark.parametrize("path", ["a/{*}", "{*}", "//{*}", "/a//{**}", "/" + "a" * 254 + "/{*}"])
def test_what_envoy_crashes_on_is_no_path_of_a_policy(path: str) -> None:
    assert template_fault(path)


def test_operators_as_envoy_writes_them() -> None:
    assert envoy_template("/{*}/a/{**}") == "/*/a/**"
