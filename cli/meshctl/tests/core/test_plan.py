from meshctl.core.layout import Layout
from meshctl.core.plan import StackSettings, application_spec, proxy_spec, service_specs
from meshctl.core.topology import Stack
from meshctl.core.workloads import Workload

SETTINGS = StackSettings(Stack(2), Layout("/state"), "/bin/python", "/bin/nats-server", pilots=2, pilot_workers=3)
WORKLOAD = Workload(
    "front", "shop", "front", "front-group", {"app": "front"}, (9080,), ("{python}", "{dir}/a", "{host}")
)


def test_services_of_a_stack() -> None:
    specs = {spec.name: spec for spec in service_specs(SETTINGS)}
    assert list(specs) == ["nats", "galley", "citadel", "pilot", "pilot-2", "injector"]
    assert specs["pilot-2"].argv == ("/bin/python", "-m", "pilot", "--workers", "3")
    assert specs["pilot-2"].environment["PILOT_HOST"] == "127.2.255.12"
    assert specs["galley"].ready_url == "http://127.2.255.1:15014/readyz"
    addresses = [address for spec in specs.values() for address in spec.listens]
    assert len(addresses) == len(set(addresses))


def test_an_application_listens_on_its_own_address_and_calls_through_its_sidecar() -> None:
    spec = application_spec(SETTINGS, WORKLOAD, 5, "/shop")
    assert spec is not None
    assert spec.argv == ("/bin/python", "/shop/a", "127.2.1.5")
    assert spec.environment["http_proxy"] == "http://127.2.0.5:15002"
    assert spec.listens == (("127.2.1.5", 9080),)


def test_a_workload_without_a_command_has_no_application() -> None:
    assert application_spec(SETTINGS, Workload("shopper"), 1, "/shop") is None


def test_a_sidecar_binds_its_own_address_and_knows_its_workload() -> None:
    spec = proxy_spec(SETTINGS, WORKLOAD, 5)
    assert spec.environment["INSTANCE_IPS"] == "127.2.0.5"
    assert spec.environment["ISTIO_META_MESHCORE_APP_ADDRESS"] == "127.2.1.5"
    assert spec.environment["ISTIO_META_INTERCEPTION_MODE"] == "NONE"
    assert spec.environment["ISTIO_METAJSON_LABELS"] == '{"app": "front"}'
    assert spec.environment["http_proxy"] is None
    assert ("127.2.0.5", 9080) in spec.listens


def test_an_agent_is_told_its_proxy_config() -> None:
    assert "PROXY_CONFIG" not in proxy_spec(SETTINGS, WORKLOAD, 5).environment
    told = proxy_spec(SETTINGS, WORKLOAD, 5, {"concurrency": 2}).environment["PROXY_CONFIG"]
    assert told == '{"concurrency": 2}'


def test_sidecars_are_shared_out_among_the_pilots() -> None:
    addresses = [proxy_spec(SETTINGS, WORKLOAD, number).environment["PILOT_ADDR"] for number in (1, 2, 3)]
    assert addresses == ["127.2.255.2:15012", "127.2.255.12:15012", "127.2.255.2:15012"]


def test_the_digest_changes_with_what_needs_a_restart() -> None:
    again = proxy_spec(SETTINGS, WORKLOAD, 5)
    assert again.digest() == proxy_spec(SETTINGS, WORKLOAD, 5).digest()
    assert again.digest() != proxy_spec(SETTINGS, WORKLOAD, 6).digest()
