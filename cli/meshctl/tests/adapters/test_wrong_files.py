"""Files that are not what a command wants: a line that says so, exit code 1, no traceback, no word to a stack."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from meshcore.errors import ErrorCode
from meshctl.__main__ import app_with
from meshctl.adapters.config_api import refused
from meshctl.adapters.stack_files import make_layout
from meshctl.commands.options import printable
from meshctl.core.topology import Stack
from typer.testing import CliRunner, Result

NAMELESS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {a: b}}\n"
LOOP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &a {x: *a}\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app_with([arguments[0]]), list(arguments), catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x00\xff\xfe", "f.yaml is not UTF-8 text"),
        (LOOP.encode(), "f.yaml:4: an alias stands inside what it means"),
        (b"metadata: {name: a\nspec: [\n", "f.yaml"),
    ],
)
def test_validate_calls_what_it_cannot_read_invalid(folder: Path, content: bytes, expected: str) -> None:
    (folder / "f.yaml").write_bytes(content)
    done = run("validate", "-f", "f.yaml")
    assert done.exit_code == 1
    assert "is not valid" in done.stdout
    assert expected in done.stdout


def test_validate_says_when_there_was_nothing_to_check(folder: Path) -> None:
    (folder / "f.yaml").write_text("---\n# nothing\n")
    done = run("validate", "-f", "f.yaml")
    assert (done.exit_code, done.stderr) == (0, "warning: no object in f.yaml\n")


@pytest.mark.parametrize("command", [("apply",), ("delete",), ("compile", "--proxy", "a/b")])
def test_no_object_at_all_is_an_error(folder: Path, command: tuple[str, ...]) -> None:
    (folder / "f.yaml").write_text("")
    done = run(*command, "-f", "f.yaml")
    assert (done.exit_code, done.stderr) == (1, "error: no object in f.yaml\n")


def test_compile_reads_a_node_of_any_depth(folder: Path) -> None:
    (folder / "f.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n")
    (folder / "node.json").write_text('{"a":' * 20000 + "1" + "}" * 20000)
    done = run("compile", "-f", "f.yaml", "--node", "node.json")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: node.json is not JSON")


@pytest.mark.parametrize("content", ["a: {b\nc: [", "a: !!python/none x: y", "&a [*a]"])
def test_a_kubeconfig_that_is_none(folder: Path, content: str) -> None:
    (folder / "config").write_text(content)
    done = run("get", "vs", "--kubeconfig", "config")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: config ")


def test_what_cannot_be_named_is_not_sent(folder: Path) -> None:
    done_by = make_kubeconfig(folder)
    (folder / "f.yaml").write_text(NAMELESS)
    for command in ("apply", "delete", "get"):
        done = run(command, "-f", "f.yaml", "--kubeconfig", done_by)
        assert done.exit_code == 1
        assert "f.yaml:3: metadata.name: {'a': 'b'} is a dict (expected a text)" in done.stderr


@pytest.mark.parametrize("name", ["a\x1b[31m", "../../v1/namespaces/x", "a?watch=true", "a b"])
def test_a_name_is_sent_as_one_part_of_the_path(folder: Path, name: str) -> None:
    done = run("get", "vs", name, "--kubeconfig", make_kubeconfig(folder))
    assert done.exit_code == 1
    assert "does not answer" in done.stderr


def make_kubeconfig(folder: Path) -> str:
    """A kubeconfig of a config API that is not there."""
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": ""}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    return "kubeconfig"


def test_a_refusal_names_every_field() -> None:
    causes = [{"reason": "FieldValueInvalid", "field": "spec.hosts[0]", "message": "Invalid value: 'a b'"}]
    details = {"name": "x", "kind": "VirtualService", "causes": causes}
    body = {"kind": "Status", "message": "all in one line", "reason": "Invalid", "details": details, "code": 422}
    error = refused(httpx.Response(422, json=body))
    assert (error.code, error.detail) == (ErrorCode.INVALID, "VirtualService 'x' is not valid")
    assert [str(violation) for violation in error.violations] == ["spec.hosts[0]: Invalid value: 'a b'"]


def test_what_a_file_says_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2J\r\tb\n\u202e\u00e9") == "a\\x1b[2J\\r\tb\n\\u202e\u00e9"


def test_the_state_of_all_stacks_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(dir="/tmp") as folder:  # short, for the paths of sockets
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        make_layout(Stack(1))
        root = Path(folder) / "meshcore"
        assert [path.stat().st_mode & 0o777 for path in (root, root / "stack-1")] == [0o700, 0o700]
