import json

import pytest
import yaml
from galley.core.analysis.message import Level
from meshcore.errors import MeshError, Violation
from meshcore.model.load import load_yaml_documents
from meshctl.core.analysis import (
    Request,
    analyze_documents,
    analyzer_list,
    exit_code,
    nothing_found,
    parse_boolean,
    parse_level,
    parse_suppressions,
    render,
)

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: books, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: books, namespace: shop}
spec:
  hosts: [books]
  http:
  - route:
    - destination: {host: book}
"""
PROBLEM = Violation("", "not YAML", "", "f.yaml", 1)


def documents(text: str):
    return load_yaml_documents(text, "f.yaml")


def test_files_alone_and_over_what_is_there() -> None:
    alone = analyze_documents(documents(ROUTE), None, Request(), 0.0)
    assert [message.fix for message in alone] == [None]
    (over,) = analyze_documents(documents(ROUTE), documents(SERVICE), Request(), 0.0)
    assert over.fix is not None
    assert over.fix.description == "Did you mean 'books'?"
    assert (
        analyze_documents(documents(ROUTE.replace("host: book}", "host: books}")), documents(SERVICE), Request(), 0)
        == ()
    )


def test_the_file_of_an_object_replaces_the_live_one() -> None:
    live = documents(ROUTE + "---" + SERVICE)
    assert analyze_documents(documents(ROUTE.replace("host: book}", "host: books}")), live, Request(), 0.0) == ()
    (message,) = analyze_documents((), live, Request(), 0.0)
    assert message.reference == ""


def test_formats() -> None:
    messages = analyze_documents(documents(ROUTE), documents(SERVICE), Request(), 0.0)
    line = 'Error [IST0101] (VirtualService shop/books f.yaml:9) Referenced host not found: "book"'
    assert render(messages, "log") == line
    assert render(messages, "log", show_fixes=True).splitlines()[1] == "  fix: Did you mean 'books'?"
    expected = [
        {
            "code": "IST0101",
            "level": "Error",
            "origin": "VirtualService shop/books",
            "reference": "f.yaml:9",
            "message": 'Referenced host not found: "book"',
            "documentationUrl": "https://istio.io/latest/docs/reference/config/analysis/ist0101/",
            "fix": {
                "description": "Did you mean 'books'?",
                "patch": [{"op": "replace", "path": "/spec/http/0/route/0/destination/host", "value": "books"}],
            },
        }
    ]
    assert json.loads(render(messages, "json")) == expected
    assert yaml.safe_load(render(messages, "yaml")) == expected
    assert render((), "json") == "[]"


def test_exit_codes() -> None:
    messages = analyze_documents(documents(ROUTE), None, Request(), 0.0)
    assert exit_code(messages, (), Level.ERROR, "log") == 79
    assert exit_code(messages, (), Level.ERROR, "json") == 0
    assert exit_code((), (), Level.INFO, "log") == 0
    assert exit_code((), (PROBLEM,), Level.INFO, "log") == 65
    assert exit_code((), (PROBLEM,), Level.INFO, "log", ignore_unknown=True) == 0


def test_only_one_namespace_is_shown() -> None:
    assert analyze_documents(documents(ROUTE), None, Request(namespace="other"), 0.0) == ()
    assert analyze_documents(documents(ROUTE), None, Request(namespace="other", all_namespaces=True), 0.0) != ()


def test_options() -> None:
    assert parse_level("warning") is Level.WARNING
    assert parse_boolean("False") is False
    assert [one.code for one in parse_suppressions(["IST0101=*"])] == ["IST0101"]
    for wrong in (lambda: parse_level("Bad"), lambda: parse_boolean("maybe"), lambda: parse_suppressions(["IST0101"])):
        with pytest.raises(MeshError):
            wrong()


def test_what_is_said_when_nothing_is_found() -> None:
    assert nothing_found(("a.yaml",), False, ()) == "✔ No validation issues found when analyzing a.yaml."
    assert "1 documents could not be read" in nothing_found((), True, (PROBLEM,))


def test_analyzers_are_listed() -> None:
    assert "* gateway.SecretAnalyzer:\n    " in analyzer_list()
