"""Where the services of a compose project are asked, told by a stand-in for docker."""

from __future__ import annotations

from pathlib import Path

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshctl.adapters.compose import compose_control_plane, published_address

DOCKER = """#!/bin/sh
case "$*" in
*service=galley*) printf '%s' "$GALLEYS" ;;
"ps "*project=shop*) printf 'galley g1\\npilot p2\\npilot p1\\ninjector i1\\nfront f1\\n' ;;
"port g1 15014/tcp") echo 127.0.0.1:15014 ;;
"port p1 15014/tcp") printf '0.0.0.0:15015\\n[::]:15015\\n' ;;
"port p2 15014/tcp") echo 127.0.0.1:15115 ;;
"port i1 15014/tcp") printf "$INJECTOR" ;;
"exec g1 cat "*admin-token) echo token ;;
"exec g1 cat "*root-cert.pem) echo root ;;
*) echo "no answer to $*" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A docker with one project; variables say what else it answers."""
    path = tmp_path / "docker"
    path.write_text(DOCKER)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("GALLEYS", "shop g1 galley\n")
    monkeypatch.setenv("INJECTOR", "127.0.0.1:15017\n")
    return monkeypatch


def test_services_are_asked_where_their_admin_port_is_published(docker: pytest.MonkeyPatch) -> None:
    found = compose_control_plane(None)
    assert found.project == "shop"
    assert (found.token, found.root) == ("token", "root\n")
    assert found.services == {
        "galley": "https://127.0.0.1:15014",
        "citadel": "",
        "pilot": "https://127.0.0.1:15015",
        "pilot-2": "https://127.0.0.1:15115",
        "injector": "https://127.0.0.1:15017",
    }


def test_a_port_that_is_not_published_is_an_error(docker: pytest.MonkeyPatch) -> None:
    docker.setenv("INJECTOR", "")
    with pytest.raises(MeshError, match="i1 does not publish 15014/tcp") as refused:
        compose_control_plane("shop")
    assert refused.value.code is ErrorCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("galleys", "words"),
    [("", "no running Galley in any compose project"), ("shop g1 galley\nstore g9 galley\n", "shop, store; name one")],
)
def test_one_project_is_meant(docker: pytest.MonkeyPatch, galleys: str, words: str) -> None:
    docker.setenv("GALLEYS", galleys)
    with pytest.raises(MeshError, match=words):
        compose_control_plane(None)


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("127.0.0.1:15015\n", "127.0.0.1:15015"),
        ("0.0.0.0:80\n[::]:80\n", "127.0.0.1:80"),
        ("[::]:7", "127.0.0.1:7"),
        ("", ""),
    ],
)
def test_a_wildcard_is_this_machine(told: str, address: str) -> None:
    assert published_address(told) == address
