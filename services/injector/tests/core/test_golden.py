"""Each folder of testdata is a case: `in.yaml` is injected (with `config.yaml` if there is one), `injected.yaml` is the
whole output, or `refused.txt` every reason for refusing. `make golden` writes them anew."""

from pathlib import Path

import pytest
import yaml
from injector.core.config import InjectionConfig, parse_injection_config
from injector.core.kube_inject import kube_inject
from meshcore.errors import MeshError

TESTDATA = Path(__file__).parents[1] / "testdata"
CASES = sorted(path.name for path in TESTDATA.iterdir())


def outcome(case: Path) -> tuple[str, str]:
    config = InjectionConfig()
    if (case / "config.yaml").exists():
        document = yaml.safe_load((case / "config.yaml").read_text())
        config = parse_injection_config(
            yaml.safe_dump(document.get("config") or {}),
            yaml.safe_dump(document.get("values") or {}),
            mesh=document.get("mesh"),
        )
    try:
        return "injected.yaml", kube_inject((case / "in.yaml").read_text(), config=config, source="in.yaml").text
    except MeshError as error:
        return "refused.txt", "".join(f"{violation}\n" for violation in error.violations)


@pytest.mark.parametrize("name", CASES)
def test_golden(name, request):
    case = TESTDATA / name
    file, text = outcome(case)
    if request.config.getoption("--update-golden", default=False):
        for stale in {"injected.yaml", "refused.txt"} - {file}:
            (case / stale).unlink(missing_ok=True)
        (case / file).write_text(text)
    assert {path.name for path in case.iterdir()} - {"config.yaml"} == {"in.yaml", file}
    assert (case / file).read_text() == text


@pytest.mark.parametrize("name", CASES)
def test_golden_output_is_not_injected_again(name):
    file, text = outcome(TESTDATA / name)
    if file == "injected.yaml" and not (TESTDATA / name / "config.yaml").exists():
        assert kube_inject(text).text == text
