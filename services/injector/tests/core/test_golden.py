"""Each folder of testdata is a case: `in.yaml` is injected (with `config.yaml` if there is one), `injected.yaml` is the
whole output, or `refused.txt` every reason for refusing. `make golden` writes them anew."""

from pathlib import Path

import pytest
import yaml
from injector.core.config import InjectionConfig, parse_injection_config
from injector.core.kube_inject import kube_inject
from injector.core.proxy_config import ProxyConfigs
from meshcore.errors import MeshError
from meshcore.testing.golden import case_directories

CASES = case_directories(Path(__file__).parents[1] / "testdata")


def config_of(case: Path) -> InjectionConfig:
    if not (case / "config.yaml").exists():
        return InjectionConfig()
    document = yaml.safe_load((case / "config.yaml").read_text())
    texts = [yaml.safe_dump(document.get(key) or {}) for key in ("config", "values")]
    proxy_configs = ProxyConfigs.of("istio-system", document.get("proxyConfigs") or ())
    return parse_injection_config(*texts, mesh=document.get("mesh"), proxy_configs=proxy_configs)


@pytest.mark.parametrize("case", CASES)
def test_golden(case, golden):
    try:
        text = kube_inject((case / "in.yaml").read_text(), config=config_of(case), source="in.yaml").text
        outputs = {"injected.yaml": text}
    except MeshError as error:
        outputs = {"refused.txt": "".join(f"{violation}\n" for violation in error.violations)}
    golden(case, outputs, inputs={"in.yaml", "config.yaml"})


@pytest.mark.parametrize("case", CASES)
def test_golden_output_stays_as_it_is_when_injected_again(case):
    if (case / "injected.yaml").exists():
        text = (case / "injected.yaml").read_text()
        assert kube_inject(text, config=config_of(case)).text == text
