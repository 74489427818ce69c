"""Each folder of testdata is one object: `in.yaml` becomes `normalized.yaml` (with `warnings.yaml` when there are any),
or `violations.yaml` says everything that is wrong with it. `make golden` writes them anew."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from galley.core.admission import normalize, prune, validate, violations_of
from galley.core.kind_rules import Naming
from galley.core.kinds import all_rules, rules_of
from meshcore.errors import Violation
from meshcore.model.kinds import KINDS, KindInfo, by_kind
from meshcore.model.load import parse_object
from meshcore.testing.golden import Golden, case_directories, to_yaml

TESTDATA = Path(__file__).parents[1] / "testdata"
CASES = case_directories(TESTDATA, "*-*")


def read(case: Path) -> tuple[dict[str, Any], KindInfo]:
    document = yaml.safe_load((case / "in.yaml").read_text())
    return document, by_kind(document["apiVersion"], document["kind"])


def outcome(document: dict[str, Any], info: KindInfo) -> dict[str, str]:
    errors, warnings = violations_of(document, info)
    outputs = {}
    if errors:
        outputs["violations.yaml"] = to_yaml([listed(violation) for violation in errors])
    else:
        outputs["normalized.yaml"] = to_yaml(normalized(document, info))
    if warnings:
        outputs["warnings.yaml"] = to_yaml([listed(violation) for violation in warnings])
    return outputs


def listed(violation: Violation) -> dict[str, str]:
    return {
        key: value
        for key, value in (
            ("field", violation.field),
            ("message", violation.message),
            ("expected", violation.expected),
        )
        if value
    }


def normalized(document: dict[str, Any], info: KindInfo) -> dict[str, Any]:
    body, _, _ = prune({**document, "apiVersion": info.api_version}, info)
    return normalize(parse_object(dict(rules_of(info).fill_defaults(body))), info, Naming())


@pytest.mark.parametrize("case", CASES)
def test_object_golden(case: Path, golden: Golden) -> None:
    golden(case, outcome(*read(case)))


@pytest.mark.parametrize("case", CASES)
def test_normalising_twice_is_normalising_once(case: Path) -> None:
    document, info = read(case)
    if violations_of(document, info)[0]:
        return
    once = normalized(document, info)
    assert normalized(once, info) == once
    assert validate(parse_object(once), info).errors == []


@pytest.mark.parametrize("info", KINDS, ids=lambda info: info.kind)
def test_every_kind_has_its_rules_and_a_good_and_a_bad_case(info: KindInfo) -> None:
    assert (info.group, info.kind) in all_rules()
    cases = list(TESTDATA.glob(f"{rules_of(info).family or info.kind.lower()}-*"))
    assert any((case / "normalized.yaml").exists() for case in cases), f"no accepted case of {info.kind}"
    assert any((case / "violations.yaml").exists() for case in cases), f"no refused case of {info.kind}"


def test_every_folder_of_rules_is_a_kind() -> None:
    assert set(all_rules()) == {(info.group, info.kind) for info in KINDS}
