"""The house itself: small rooms named by the field's words, and documents that point at what is there."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = sorted(
    path.parent for pattern in ("libs/*/", "services/*/", "cli/*/") for path in ROOT.glob(pattern + "pyproject.toml")
)
SERVICES = [member for member in MEMBERS if member.parent.name == "services"]
SOURCES = sorted(
    path
    for member in MEMBERS
    for path in (member / "src").rglob("*.py")
    if "_generated" not in path.parts and "migrations" not in path.parts
)
NAMELESS = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py", "manager.py"}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_the_members_are_the_ones_of_the_contract():
    assert {member.name for member in MEMBERS} == {
        "meshcore",
        "pilot",
        "citadel",
        "galley",
        "injector",
        "envoy-bootstrap",
        "meshctl",
    }


def test_no_module_is_longer_than_400_lines():
    assert {str(path.relative_to(ROOT)): lines(path) for path in SOURCES if lines(path) > 400} == {}


def test_modules_are_named_by_the_words_of_the_field():
    assert [str(path.relative_to(ROOT)) for path in SOURCES if path.name in NAMELESS] == []


@pytest.mark.parametrize("member", SERVICES, ids=lambda member: member.name)
def test_every_service_has_its_three_rooms_and_a_small_composition_root(member):
    package = next((member / "src").iterdir())
    for part in ("core/__init__.py", "adapters/__init__.py", "settings.py", "__main__.py"):
        assert (package / part).is_file(), part
    assert lines(package / "__main__.py") <= 80


def test_core_reads_no_clock_and_no_environment():
    impure = {"open", "print", "input", "utcnow", "now", "today", "getenv", "uuid4", "monotonic"}
    found = []
    for path in SOURCES:
        if "core" not in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
                if name in impure:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {name}")
    assert found == []


def test_every_module_says_what_it_decides():
    undocumented = [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert [str(path.relative_to(ROOT)) for path in undocumented] == []


def test_no_exception_is_swallowed():
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            silent = all(isinstance(item, ast.Pass) for item in node.body)
            broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "BaseException")
            if silent or (broad and not any(isinstance(item, ast.Raise) for item in ast.walk(node))):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_nothing_is_left_undone():
    words = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert [str(path.relative_to(ROOT)) for path in SOURCES if words.search(path.read_text())] == []


DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(document):
    text = document.read_text()
    linked = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in linked if target and not (document.parent / target).exists()]
    code = re.findall(r"`((?:libs|services|cli|deploy|tests|docs|examples|bench)/[\w./-]+)`", text)
    missing += [path for path in code if not (ROOT / path.rstrip("/")).exists()]
    assert missing == []


def test_decisions_are_numbered_without_gaps_and_have_a_status():
    records = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        assert re.search(r"^Status: (proposed|accepted|superseded)", path.read_text(), re.MULTILINE), path.name


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_every_import_is_declared(member):
    names = {
        "yaml": "pyyaml",
        "dns": "dnspython",
        "re2": "google-re2",
        "grpc": "grpcio",
        "google": "protobuf",
        "envoy": "xds-protos",
        "validate": "xds-protos",
        "jwt": "pyjwt",
        "nats": "nats-py",
        "prometheus_client": "prometheus-client",
        "pydantic_settings": "pydantic-settings",
        "envoy_bootstrap": "envoy-bootstrap",
        "starlette": "fastapi",
        "opentelemetry": "opentelemetry-sdk",
    }
    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    extras = [item for extra in project.get("optional-dependencies", {}).values() for item in extra]
    declared = {re.split(r"[<>=\[]", item)[0].strip() for item in [*project["dependencies"], *extras, project["name"]]}
    imported = set()
    for path in (member / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
    needed = {names.get(name, name.replace("_", "-")) for name in imported if name not in sys.stdlib_module_names}
    assert needed - declared == set()
