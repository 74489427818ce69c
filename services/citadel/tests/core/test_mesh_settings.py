import pytest
from citadel.core.mesh_settings import mesh_config_key, named_trust_domain


def test_the_trust_domain_of_a_mesh_config():
    assert named_trust_domain({"data": {"mesh": "trustDomain: mesh.example\n"}}) == "mesh.example"
    assert mesh_config_key("istio-system", "istio") == ("", "configmaps", "istio-system", "istio")


@pytest.mark.parametrize(
    "config_map",
    [
        None,
        {},
        {"data": None},
        {"data": {}},
        {"data": {"mesh": "a: [broken"}},
        {"data": {"mesh": "- list"}},
        {"data": {"mesh": "trustDomain: ''"}},
        {"data": {"mesh": "trustDomain: 7"}},
    ],
)
def test_what_names_none_is_no_disagreement(config_map):
    assert named_trust_domain(config_map) is None
