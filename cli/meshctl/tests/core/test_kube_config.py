import pytest
from meshcore.errors import MeshError
from meshctl.core.kube_config import read_kubeconfig
from meshctl.core.mesh_objects import kubeconfig


def test_what_up_writes_is_read_back() -> None:
    target = read_kubeconfig(kubeconfig("https://127.1.255.1:8081", "Q0E=", "secret", "mesh"), "f")
    assert (target.server, target.ca, target.token, target.namespace) == (
        "https://127.1.255.1:8081",
        "CA",
        "secret",
        "default",
    )
    assert "secret" not in repr(target)


@pytest.mark.parametrize("document", [{}, {"contexts": []}, kubeconfig("s", "not base64!", "t", "m")])
def test_an_incomplete_one_is_named(document: dict[str, object]) -> None:
    with pytest.raises(MeshError, match="f has no current context"):
        read_kubeconfig(document, "f")
