import pytest
from injector.core.decision import InjectionPolicy
from injector.core.mesh_state import MeshState
from meshcore.distribution.keys import Key

INJECTOR = Key("", "configmaps", "istio-system", "istio-sidecar-injector")
MESH = Key("", "configmaps", "istio-system", "istio")


def namespace(name, **labels):
    return Key("", "namespaces", "", name), {"metadata": {"name": name, "labels": labels}}


def config_map(key, **data):
    return key, {"metadata": {"name": key.name}, "data": data}


def empty():
    return MeshState.empty("istio-system", revision="canary", trust_domain="shop.example")


def test_mesh_config_and_the_injectors_own_reach_the_configuration():
    state = empty().applied(
        [config_map(MESH, mesh="defaultConfig: {statusPort: 1}"), config_map(INJECTOR, config="policy: disabled")]
    )
    assert state.config.policy is InjectionPolicy.DISABLED
    assert state.config.mesh == {"defaultConfig": {"statusPort": 1}}
    assert (state.config.revision, state.config.trust_domain) == ("canary", "shop.example")


def test_a_bad_configuration_keeps_the_last_good_one_and_says_what_is_wrong():
    good = empty().applied([config_map(INJECTOR, config="policy: disabled")])
    for bad in ("policy: maybe", "templates: {a: '{% if %}'}", "unknown: 1", "[", "defaultTemplates: [nobody]"):
        state = good.applied([config_map(INJECTOR, config=bad)])
        assert state.config.policy is InjectionPolicy.DISABLED
        assert state.problems
        assert state.applied([config_map(INJECTOR, config="policy: enabled")]).problems == ()
    assert good.applied([config_map(MESH, mesh="- a list")]).problems


@pytest.mark.parametrize(
    ("config", "values", "mesh"),
    [
        ("", "global: 5", ""),
        ("", "global: {proxy: {statusPort: soon}}", ""),
        ("", "sidecarInjectorWebhook: []", ""),
        ("", "", "defaultConfig: {proxyMetadata: [a]}"),
        ("templates: {sidecar: 'spec: {{ no_such_name }}'}", "", ""),
        ("templates: {sidecar: 'spec: [a, list]'}", "", ""),
        ("templates: {sidecar: 'metadata: {}'}", "", ""),
    ],
)
def test_a_configuration_that_cannot_inject_a_plain_pod_is_not_taken(config, values, mesh):
    state = empty().applied([config_map(INJECTOR, config=config, values=values), config_map(MESH, mesh=mesh)])
    assert state.problems
    assert state.config == empty().config


def test_a_deleted_configuration_means_the_defaults():
    state = empty().applied([config_map(INJECTOR, config="policy: disabled")]).applied([(INJECTOR, None)])
    assert state.config.policy is InjectionPolicy.ENABLED


def test_labels_of_namespaces_follow_the_feed():
    state = empty().applied([namespace("shop", **{"istio-injection": "enabled"}), namespace("other")])
    assert state.labels_of("shop") == {"istio-injection": "enabled"}
    state = state.applied([(Key("", "namespaces", "", "shop"), None)])
    assert state.labels_of("shop") == {}
    assert set(state.replaced([namespace("new")]).namespace_labels) == {"new"}


def test_proxy_configs_follow_the_feed():
    key = Key("networking.istio.io", "proxyconfigs", "shop", "threads")
    document = {"metadata": {"namespace": "shop", "name": "threads"}, "spec": {"concurrency": 2}}

    def effective(state):
        return state.config.proxy_configs.effective("shop", {}, default={}, annotation={})

    state = empty().applied([(key, document), config_map(INJECTOR, config="policy: disabled")])
    assert effective(state) == {"concurrency": 2}
    assert effective(state.applied([(key, None)])) == {}
    assert effective(state.replaced([])) == {}


def test_the_network_is_the_label_of_the_root_namespace_unless_values_say():
    state = empty().applied([namespace("istio-system", **{"topology.istio.io/network": "east"})])
    assert state.network == "east"
    assert state.applied([config_map(INJECTOR, values="global: {network: west}")]).network == "west"


def test_objects_of_others_change_nothing():
    state = empty()
    others = [
        config_map(Key("", "configmaps", "shop", "istio-sidecar-injector"), config="policy: disabled"),
        config_map(Key("", "configmaps", "istio-system", "other"), config="policy: disabled"),
        (Key("networking.istio.io", "namespaces", "", "x"), {"metadata": {}}),
    ]
    assert state.applied(others) == state
