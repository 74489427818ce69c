"""The runner on small corpora of its own."""

import json

import pytest

from tests.conformance.__main__ import main

ENTRY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "WorkloadEntry",
    "metadata": {"name": "one", "namespace": "shop"},
    "spec": {"address": "10.0.0.1"},
}
WITHOUT_ADDRESS = {**ENTRY, "spec": {"network": "far"}}


def corpus_of(directory, *cases):
    (directory / "validation").mkdir()
    text = "\n".join(json.dumps({"id": str(index), "warning": None, **case}) for index, case in enumerate(cases))
    (directory / "validation" / "cases.jsonl").write_text(text)
    return str(directory)


def test_all_passed_is_exit_zero(tmp_path, capsys):
    corpus = corpus_of(
        tmp_path,
        {"expect": "valid", "warning": False, "doc": ENTRY},
        {"expect": "warn", "doc": WITHOUT_ADDRESS},
        {"expect": "invalid", "doc": {**ENTRY, "spec": {"address": "not an address"}}},
        {"expect": "valid", "crd": "reject", "doc": {**ENTRY, "spec": {"ports": [None]}}},
    )
    assert main([corpus]) == 0
    out = capsys.readouterr().out
    assert "validation                     3       0       1" in out
    assert "validation/webhook             3       0       1" in out


@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        ({"expect": "invalid", "doc": ENTRY}, "expected invalid"),
        ({"expect": "valid", "doc": {**ENTRY, "spec": {"address": "*"}}}, "expected valid"),
        ({"expect": "valid", "warning": False, "doc": WITHOUT_ADDRESS}, "expected no warning"),
        ({"expect": "warn", "doc": ENTRY}, "expected a warning"),
        ({"expect": "invalid", "doc": {**ENTRY, "kind": "Nothing"}}, "there is no kind Nothing"),
    ],
)
def test_a_failed_case_is_exit_one_and_named_in_the_json(tmp_path, capsys, case, complaint):
    assert main([corpus_of(tmp_path, case), "-o", "json"]) == 1
    reports = json.loads(capsys.readouterr().out)
    assert [report["failed"] for report in reports] == [1, 1]
    assert all(complaint in report["failures"][0]["detail"] for report in reports)


def test_a_set_without_adapter_and_one_that_breaks_do_not_stop_the_others(tmp_path, capsys):
    (tmp_path / "unheard-of").mkdir()
    (tmp_path / "samples").mkdir()
    assert main([corpus_of(tmp_path, {"expect": "valid", "doc": ENTRY}), "-o", "json"]) == 1
    broken, strange, good, webhook = json.loads(capsys.readouterr().out)
    assert (broken["set"], broken["failed"]) == ("samples", 1)
    assert strange["notApplicable"] == 1
    assert (good["passed"], webhook["passed"]) == (1, 1)


def test_what_only_the_api_server_refuses_is_not_the_webhooks_business(tmp_path, capsys):
    document = {**ENTRY, "spec": {**ENTRY["spec"], "unheardOf": 1}}
    assert main([corpus_of(tmp_path, {"expect": "invalid", "doc": document}), "-o", "json"]) == 0
    validation, webhook = json.loads(capsys.readouterr().out)
    assert (validation["passed"], webhook["passed"], webhook["notApplicable"]) == (1, 0, 1)


def test_a_long_text_is_expanded(tmp_path):
    place = {"path": ["spec", "address"], "char": "a", "len": 300}
    document = {**ENTRY, "spec": {"address": "@expand"}}
    assert main([corpus_of(tmp_path, {"expect": "invalid", "doc": document, "expand": [place]})]) == 0
