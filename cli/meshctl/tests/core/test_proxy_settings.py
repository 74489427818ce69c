import pytest
from meshctl.core.failure import StackFailure
from meshctl.core.proxy_settings import ProxySettings
from meshctl.core.workloads import Workload

MESH = {"data": {"mesh": "defaultConfig: {concurrency: 1, statusPort: 15099}"}}
SELECTED = {
    "metadata": {"namespace": "shop", "name": "front"},
    "spec": {"selector": {"matchLabels": {"app": "front"}}, "concurrency": 2},
}


def front(**proxy_env: str) -> Workload:
    return Workload("front", "shop", labels={"app": "front"}, proxy_env=proxy_env)


def test_a_workload_gets_what_a_pod_would_but_keeps_the_port_where_the_supervisor_asks() -> None:
    settings = ProxySettings.of_mesh(MESH, [SELECTED])
    assert settings.effective(front(PROXY_CONFIG="{drainDuration: 1s}")) == {"concurrency": 2, "drainDuration": "1s"}
    assert settings.effective(Workload("back", "shop")) == {"concurrency": 1}
    assert ProxySettings.of_mesh({}, []).effective(front()) == {}


@pytest.mark.parametrize("text", ["[a, list]", "{"])
def test_a_workloads_own_proxy_config_that_is_none_is_named(text: str) -> None:
    with pytest.raises(StackFailure, match=r"front.*proxy_env\.PROXY_CONFIG"):
        ProxySettings().effective(front(PROXY_CONFIG=text))
