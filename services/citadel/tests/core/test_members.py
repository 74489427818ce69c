import pytest
from citadel.core.caller import AuthenticatedCaller, Proof
from citadel.core.members import Installation, InstallProfile, is_of_control_plane, parse_extra_name
from citadel.core.nats_config import NatsServer, permissions_of, render_nats_config
from meshcore.errors import MeshError
from meshcore.identity import SpiffeId


def test_on_one_machine_a_service_has_its_loopback_address_and_its_cluster_names():
    names = Installation("cluster.local", stack=3).caller("citadel").names
    assert {"citadel", "citadel.istio-system.svc.cluster.local", "localhost", "127.0.0.1", "127.3.255.3"} <= set(names)
    assert len(names) == len(set(names))


def test_every_pilot_of_a_machine_has_an_address_in_the_shared_certificate():
    names = Installation("cluster.local", stack=3).caller("pilot").names
    assert {"127.3.255.2", "127.3.255.12", "127.3.255.20"} <= set(names)


def test_in_compose_no_loopback_stack_is_named():
    names = Installation("cluster.local", InstallProfile.COMPOSE).caller("galley").names
    assert [name for name in names if name.startswith("127.")] == ["127.0.0.1"]
    assert "galley" in names


def test_the_command_line_has_an_identity_and_no_host_name():
    caller = Installation("mesh.example").caller("meshctl")
    assert str(caller.identity) == "spiffe://mesh.example/ns/istio-system/sa/meshctl"
    assert caller.names == ()


def test_extra_names():
    assert parse_extra_name("galley=config.example, 10.0.0.1") == ("galley", ("config.example", "10.0.0.1"))
    for bad in ("galley", "galley=", "=x", "galley=a..b", "galley=a b", "galley=" + "x" * 64):
        with pytest.raises(MeshError):
            parse_extra_name(bad)
    for bad in ({"stack": 0}, {"stack": 255}, {"extra_names": {"envoy": ("x",)}}):
        with pytest.raises(MeshError):
            Installation("cluster.local", **bad)


def test_only_galley_may_write_config():
    writers = {
        service
        for service in ("galley", "pilot", "citadel", "injector")
        if any(subject.startswith("$KV.mesh-config") for subject in permissions_of(service).publish)
    }
    assert writers == {"galley"}


def test_the_configuration_is_the_same_for_the_same_input_and_quotes_what_it_is_given():
    server = NatsServer("127.0.0.1", "127.0.0.1", '/tmp/a "b"')
    text = render_nats_config(server, {"pilot": 'p"\\w', "galley": "g"})
    assert text == render_nats_config(server, {"galley": "g", "pilot": 'p"\\w'})
    assert 'store_dir: "/tmp/a \\"b\\""' in text
    assert 'password: "p\\"\\\\w"' in text
    assert "tls {" not in text


@pytest.mark.parametrize(
    ("namespace", "account", "proof", "names", "expected"),
    [
        ("istio-system", "pilot", Proof.CERTIFICATE, ("pilot",), True),
        ("istio-system", "meshctl", Proof.CERTIFICATE, (), True),
        ("istio-system", "gateway", Proof.CERTIFICATE, (), False),
        ("istio-system", "meshctl", Proof.TOKEN, (), False),
        ("shop", "meshctl", Proof.CERTIFICATE, (), False),
    ],
)
def test_what_init_made_keeps_its_life_when_it_is_renewed(namespace, account, proof, names, expected):
    caller = AuthenticatedCaller(SpiffeId("cluster.local", namespace, account), proof, names)
    assert is_of_control_plane(caller, "istio-system") is expected
