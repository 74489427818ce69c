import pytest
import yaml
from citadel.core.mesh_settings import MeshSettings, mesh_config_key, mesh_settings
from meshcore.testing.identity import make_ca


def config_map(**mesh):
    return {"data": {"mesh": yaml.safe_dump(mesh)}}


def test_what_a_mesh_config_says():
    root = make_ca("elsewhere")
    found = mesh_settings(
        config_map(
            trustDomain="mesh.example",
            trustDomainAliases=["old.example"],
            caCertificates=[{"pem": root.root_pem.decode()}, {"spiffeBundleUrl": "https://x"}, {"pem": "rubbish"}],
        )
    )
    assert (found.trust_domain, found.aliases) == ("mesh.example", {"old.example"})
    assert found.foreign_roots == (root.certificate,)
    assert [problem.split(" ")[0] for problem in found.problems] == ["caCertificates[1]", "caCertificates[2].pem"]
    assert mesh_config_key("istio-system", "istio") == ("", "configmaps", "istio-system", "istio")


def test_roots_are_of_the_signers_that_their_entries_name():
    first, second = make_ca("first"), make_ca("second")
    entries = [
        {"pem": first.root_pem.decode(), "certSigners": ["a.example/x", "a.example/y"]},
        {"pem": second.root_pem.decode(), "certSigners": ["a.example/y"]},
    ]
    found = mesh_settings(config_map(caCertificates=entries))
    both = (first.certificate, second.certificate)
    assert found.signer_roots == {"a.example/x": both[:1], "a.example/y": both}
    assert (found.foreign_roots, found.problems) == (both, ())


@pytest.mark.parametrize(
    "config_map",
    [
        None,
        {},
        {"data": None},
        {"data": {}},
        {"data": {"mesh": "- list"}},
        {"data": {"mesh": "trustDomain: ''"}},
        {"data": {"mesh": "trustDomain: 7\ntrustDomainAliases: x\ncaCertificates: y"}},
    ],
)
def test_what_names_nothing_changes_nothing(config_map):
    assert mesh_settings(config_map) == MeshSettings()


def test_a_mesh_config_that_is_no_yaml_is_told():
    assert mesh_settings({"data": {"mesh": "a: [broken"}}) == MeshSettings(problems=("mesh config is no YAML",))
