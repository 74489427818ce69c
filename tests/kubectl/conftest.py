"""Every stock kubectl that can be had here, against a real Galley."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from meshcore.testing.addresses import claim

HERE = Path(__file__).parent
NEWEST_NEEDED = (1, 27)
_START_WITHIN = 60.0


@dataclass(frozen=True)
class Kubectl:
    """One binary and the minor version of Kubernetes that it belongs to."""

    path: Path
    version: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"


def _version(path: Path) -> tuple[int, int]:
    shown = subprocess.run([path, "version", "--client", "-o", "yaml"], capture_output=True, text=True, check=True)
    client = yaml.safe_load(shown.stdout)["clientVersion"]
    minor = re.match(r"\d+", client["minor"])
    assert minor is not None, f"{path} says nothing about its version"
    return int(client["major"]), int(minor[0])


def _found() -> list[Kubectl]:
    """One of each version: from the PATH (and what a dispatching kubectl keeps beside itself), and from Debian."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshcore" / "kubectl"
    fetched = subprocess.run([HERE / "fetch-kubectl", cache], capture_output=True, text=True)
    if fetched.returncode:
        raise pytest.UsageError(fetched.stderr.strip())
    on_path = [Path(part) / "kubectl" for part in os.get_exec_path()]
    present = [path.resolve() for path in on_path if path.is_file()]
    beside = [other for path in present for other in sorted(path.parent.glob("kubectl.1.*"))]
    by_version: dict[tuple[int, int], Kubectl] = {}
    for path in [*sorted(cache.glob("*/kubectl")), *beside, *present]:
        version = _version(path)
        by_version.setdefault(version, Kubectl(path, version))
    return [by_version[version] for version in sorted(by_version)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test runs with every kubectl."""
    if "kubectl" not in metafunc.fixturenames:
        return
    found = metafunc.config.stash.get(_KUBECTLS, None) or _found()
    metafunc.config.stash[_KUBECTLS] = found
    if found[-1].version < NEWEST_NEEDED:
        raise pytest.UsageError(f"no kubectl at or above 1.27, only {', '.join(map(str, found))}")
    metafunc.parametrize("kubectl", found, ids=str, scope="session")


_KUBECTLS: pytest.StashKey[list[Kubectl]] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Which versions ran."""
    for kubectl in config.stash.get(_KUBECTLS, []):
        terminalreporter.write_line(f"kubectl {kubectl}: {kubectl.path}")


@dataclass(frozen=True)
class Galley:
    """A running config API, and the kubeconfigs to reach it."""

    url: str
    directory: Path

    def kubeconfig(self, token: str) -> Path:
        """A kubeconfig with this token."""
        path = self.directory / f"kubeconfig-{abs(hash(token))}"
        cluster = {"server": self.url, "certificate-authority": str(self.directory / "identities" / "root-cert.pem")}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "mesh", "cluster": cluster}],
            "users": [{"name": "mesh", "user": {"token": token}}],
            "contexts": [{"name": "mesh", "context": {"cluster": "mesh", "user": "mesh"}}],
            "current-context": "mesh",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(content))
        return path

    @property
    def admin_token(self) -> str:
        """What `citadel init` made."""
        return (self.directory / "identities" / "admin-token").read_text().strip()


@pytest.fixture(scope="session")
def galley(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Galley]:
    """Galley as it is started in earnest: identities from `citadel init`, its own process, SQLite."""
    directory = tmp_path_factory.mktemp("galley")
    identities = directory / "identities"
    with claim() as addresses:
        host = addresses.address(1)
        init = [sys.executable, "-m", "citadel", "init", "--dir", str(identities), "--profile", "machine"]
        subprocess.run([*init, "--san", f"galley={host}"], check=True, capture_output=True)
        environment = {
            **os.environ,
            "GALLEY_IDENTITY_DIR": str(identities / "galley"),
            "GALLEY_STATE_DIR": str(directory / "state"),
            "GALLEY_HOST": host,
            "GALLEY_ADMIN_HOST": host,
        }
        log = (directory / "galley.log").open("wb")
        with (
            log,
            subprocess.Popen([sys.executable, "-m", "galley"], env=environment, stderr=log, stdout=log) as process,
        ):
            try:
                _wait_until_ready(f"http://{host}:15014/readyz", process, directory / "galley.log")
                yield Galley(f"https://{host}:8081", directory)
            finally:
                process.terminate()
                assert process.wait(timeout=60) == 0


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_WITHIN
    pause = 0.05
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pause = min(pause * 1.5, 0.5)
        try:
            process.wait(timeout=pause)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"Galley did not become ready:\n{log.read_text()[-2000:]}")


class Runner:
    """One kubectl in a namespace of its own."""

    def __init__(self, kubectl: Kubectl, galley: Galley, directory: Path) -> None:
        self.version = kubectl.version
        self.namespace = f"k{kubectl.version[0]}-{kubectl.version[1]}"
        self._galley = galley
        self._binary = kubectl.path
        self._directory = directory

    def command(self, *arguments: str, token: str | None = None) -> list[str]:
        """The whole command line."""
        kubeconfig = self._galley.kubeconfig(token or self._galley.admin_token)
        fixed = [f"--kubeconfig={kubeconfig}", f"--cache-dir={self._directory / 'cache'}"]
        return [str(self._binary), *fixed, f"--namespace={self.namespace}", *arguments]

    def run(
        self, *arguments: str, stdin: str = "", codes: Sequence[int] = (0,), token: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run it; any other exit status than `codes` fails with all that it printed."""
        done = subprocess.run(
            self.command(*arguments, token=token),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env={"HOME": str(self._directory), "PATH": os.environ["PATH"]},
        )
        assert done.returncode in codes, f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def apply(self, text: str, *arguments: str, codes: Sequence[int] = (0,)) -> "subprocess.CompletedProcess[str]":
        """`apply -f -`."""
        return self.run("apply", "-f", "-", *arguments, stdin=text, codes=codes)


@pytest.fixture(scope="session")
def runner(kubectl: Kubectl, galley: Galley, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """The kubectl, with its namespace made by itself (and in protobuf, where that version does so)."""
    made = Runner(kubectl, galley, tmp_path_factory.mktemp("kubectl"))
    assert "created" in made.run("create", "namespace", made.namespace).stdout
    yield made
    assert "deleted" in made.run("delete", "namespace", made.namespace).stdout
