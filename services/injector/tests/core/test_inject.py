import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from injector.core.config import InjectionConfig, parse_injection_config
from injector.core.context import PodFacts
from injector.core.inject import inject_pod
from injector.core.status import OVERRIDES, STATUS
from injector.core.workload import workload_of_pod
from meshcore.errors import MeshError


def pod(**metadata):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "front", "labels": {"app": "front"}, **metadata},
        "spec": {"containers": [{"name": "app", "image": "front:1", "ports": [{"containerPort": 9080}]}]},
    }


def inject(given, config=None, namespace="shop"):
    return inject_pod(PodFacts(given, namespace, workload_of_pod(given), config or InjectionConfig()))


def names(injected, field):
    return [container["name"] for container in injected["spec"].get(field) or ()]


def proxy(injected):
    everything = [*injected["spec"].get("initContainers", ()), *injected["spec"]["containers"]]
    return next(container for container in everything if container["name"] == "istio-proxy")


def environment(injected):
    return {item["name"]: item.get("value") for item in proxy(injected)["env"]}


def native(enabled=True):
    return parse_injection_config("", f"sidecarInjectorWebhook: {{nativeSidecars: {str(enabled).lower()}}}")


SAMPLES = {
    "plain": pod(),
    "with its own proxy settings": {
        **pod(),
        "spec": {
            "containers": [
                {"name": "istio-proxy", "image": "auto", "resources": {"limits": {"cpu": "1"}}},
                {"name": "app", "image": "front:1"},
            ]
        },
    },
    "with init steps, probes and metrics": {
        **pod(annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "9090"}),
        "spec": {
            "initContainers": [{"name": "migrate", "image": "m"}],
            "imagePullSecrets": [{"name": "mine"}],
            "containers": [
                {
                    "name": "app",
                    "image": "front:1",
                    "ports": [{"name": "http", "containerPort": 9080}],
                    "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
                    "readinessProbe": {"tcpSocket": {"port": 9080}, "timeoutSeconds": 2},
                    "lifecycle": {"preStop": {"httpGet": {"path": "/stop", "port": 9080}}},
                }
            ],
        },
    },
    "everything asked for": pod(
        annotations={
            "sidecar.istio.io/interceptionMode": "TPROXY",
            "sidecar.istio.io/proxyCPU": "10m",
            "sidecar.istio.io/userVolume": '{"cache": {"emptyDir": {}}}',
            "sidecar.istio.io/userVolumeMount": '{"cache": {"mountPath": "/cache"}}',
            "sidecar.istio.io/bootstrapOverride": "my-bootstrap",
            "prometheus.istio.io/scrape-targets": "8080:/metrics,9100:/more",
            "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true\nproxyMetadata: {A: 'b', N: 1, T: true}\n",
        }
    ),
}


@pytest.mark.parametrize("config", [InjectionConfig(), native()], ids=["container", "native"])
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_injecting_twice_gives_what_injecting_once_gave(sample, config):
    before = copy.deepcopy(sample)
    once = inject(sample, config)
    assert sample == before
    assert inject(once, config) == once
    everything = [*names(once, "initContainers"), *names(once, "containers")]
    assert len(everything) == len(set(everything))
    assert everything.count("istio-proxy") == 1


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_new_template_replaces_what_the_old_one_put_in(sample):
    newer = parse_injection_config("", "global: {tag: '9.9.9'}")
    assert inject(inject(sample), newer) == inject(sample, newer)
    assert inject(inject(sample, native()), newer) == inject(sample, newer)


def test_the_status_names_exactly_what_was_added():
    injected = inject(SAMPLES["with init steps, probes and metrics"])
    status = json.loads(injected["metadata"]["annotations"][STATUS])
    assert status["initContainers"] == ["istio-init"]
    assert status["containers"] == ["istio-proxy"]
    assert status["imagePullSecrets"] is None
    assert status["revision"] == "default"
    assert set(status["volumes"]) == {volume["name"] for volume in injected["spec"]["volumes"]}


def test_capture_comes_after_the_users_init_steps_and_the_proxy_after_the_application():
    injected = inject(SAMPLES["with init steps, probes and metrics"])
    assert names(injected, "initContainers") == ["migrate", "istio-init"]
    assert names(injected, "containers") == ["app", "istio-proxy"]


def test_with_the_cni_plugin_the_first_step_only_looks_whether_there_is_capture():
    config = parse_injection_config("", "pilot: {cni: {enabled: true}}")
    injected = inject(SAMPLES["with init steps, probes and metrics"], config)
    assert names(injected, "initContainers") == ["istio-validation", "migrate"]
    validation = injected["spec"]["initContainers"][0]
    assert validation["args"][-2:] == ["--run-validation", "--skip-rule-apply"]
    security = validation["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    # only what the proxy's user dials is led to the listener
    assert (security["runAsUser"], security["runAsGroup"], security["readOnlyRootFilesystem"]) == (1337, 1337, True)


def test_a_native_sidecar_starts_before_the_users_init_steps():
    injected = inject(SAMPLES["with init steps, probes and metrics"], native())
    assert names(injected, "initContainers") == ["istio-init", "istio-proxy", "migrate"]
    assert names(injected, "containers") == ["app"]
    assert proxy(injected)["restartPolicy"] == "Always"
    # it outlives the application: callers are told to go as soon as the pod ends
    stop = proxy(injected)["lifecycle"]["preStop"]["exec"]["command"]
    assert stop[-4:] == ["request", "--debug-port=15020", "POST", "drain"]


def test_an_application_that_must_wait_starts_behind_the_proxy():
    injected = inject(pod(annotations={"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"}))
    assert names(injected, "containers") == ["istio-proxy", "app"]
    assert proxy(injected)["lifecycle"]["postStart"]["exec"]["command"][-1] == "wait"


def test_the_users_proxy_container_wins_field_by_field():
    injected = inject(SAMPLES["with its own proxy settings"])
    assert proxy(injected)["resources"]["limits"] == {"cpu": "1", "memory": "1024Mi"}
    assert proxy(injected)["image"] == "meshcore/proxy:0.1.0"
    kept = json.loads(injected["metadata"]["annotations"][OVERRIDES])
    assert kept == {"containers": [{"name": "istio-proxy", "resources": {"limits": {"cpu": "1"}}}]}


def test_a_proxy_with_its_own_user_is_exempted_from_capture_by_that_user():
    given = pod()
    given["spec"]["containers"].append(
        {"name": "istio-proxy", "image": "auto", "securityContext": {"runAsUser": 1234, "runAsGroup": 4321}}
    )
    injected = inject(given)
    args = injected["spec"]["initContainers"][0]["args"]
    assert args[args.index("-u") + 1] == "1234"
    assert proxy(injected)["securityContext"]["runAsGroup"] == 4321


def test_without_interception_nothing_is_captured():
    injected = inject(pod(annotations={"sidecar.istio.io/interceptionMode": "NONE"}))
    assert names(injected, "initContainers") == []
    assert environment(injected)["ISTIO_META_INTERCEPTION_MODE"] == "NONE"
    both = inject(pod(annotations={"sidecar.istio.io/interceptionMode": "NONE"}), native())
    assert names(both, "initContainers") == ["istio-proxy"]


def test_tproxy_needs_the_capability_and_root():
    context = proxy(inject(SAMPLES["everything asked for"]))["securityContext"]
    assert context["runAsUser"] == 0
    assert context["capabilities"] == {"add": ["NET_ADMIN"], "drop": ["ALL"]}


def test_labels_of_the_user_stay_and_those_of_the_mesh_are_added():
    labels = inject(pod(labels={"app": "front", "version": "v2", "security.istio.io/tlsMode": "disabled"}))["metadata"]
    assert labels["labels"] == {
        "app": "front",
        "version": "v2",
        "security.istio.io/tlsMode": "disabled",
        "service.istio.io/canonical-name": "front",
        "service.istio.io/canonical-revision": "v2",
    }


def test_probes_go_through_the_agent_and_what_they_were_travels_with_them():
    injected = inject(SAMPLES["with init steps, probes and metrics"])
    app = injected["spec"]["containers"][0]
    assert app["livenessProbe"]["httpGet"] == {"path": "/app-health/app/livez", "port": 15020}
    assert app["readinessProbe"] == {"httpGet": {"path": "/app-health/app/readyz", "port": 15020}, "timeoutSeconds": 2}
    assert json.loads(environment(injected)["ISTIO_KUBE_APP_PROBERS"]) == {
        "/app-health/app/livez": {"httpGet": {"path": "/live", "port": 9080}},
        "/app-health/app/readyz": {"tcpSocket": {"port": 9080}, "timeoutSeconds": 2},
        "/app-lifecycle/app/prestopz": {"httpGet": {"path": "/stop", "port": 9080}},
    }


def test_metrics_are_scraped_from_the_agent():
    injected = inject(SAMPLES["with init steps, probes and metrics"])
    annotations = injected["metadata"]["annotations"]
    assert (annotations["prometheus.io/port"], annotations["prometheus.io/path"]) == ("15020", "/stats/prometheus")
    assert json.loads(environment(injected)["ISTIO_PROMETHEUS_ANNOTATIONS"])["port"] == "9090"


def test_the_order_of_authority_is_annotation_then_pod_config_then_mesh_then_values():
    mesh = {"defaultConfig": {"statusPort": 15120, "discoveryAddress": "mesh:1", "proxyMetadata": {"A": "mesh"}}}
    config = InjectionConfig(mesh=mesh)
    of_mesh = environment(inject(pod(), config))
    assert (of_mesh["PILOT_ADDR"], of_mesh["A"]) == ("mesh:1", "mesh")
    of_pod = inject(pod(annotations={"proxy.istio.io/config": "discoveryAddress: pod:1"}), config)
    assert environment(of_pod)["PILOT_ADDR"] == "pod:1"
    asked = inject(pod(annotations={"status.sidecar.istio.io/port": "15220"}), config)
    args = asked["spec"]["initContainers"][0]["args"]
    assert args[args.index("-d") + 1] == "15090,15021,15220"


def test_a_status_port_of_zero_removes_the_probes():
    injected = inject(pod(annotations={"status.sidecar.istio.io/port": "0"}))
    assert "readinessProbe" not in proxy(injected)
    assert "startupProbe" not in proxy(injected)


def test_a_template_that_nobody_has_is_named():
    with pytest.raises(MeshError, match=r"'sidecar2'.*known: sidecar"):
        inject(pod(annotations={"inject.istio.io/templates": "sidecar2"}))


def test_several_templates_merge_in_their_order():
    extra = "templates: {extra: 'spec: {containers: [{name: istio-proxy, tty: true}], dnsPolicy: None}'}"
    injected = inject(pod(annotations={"inject.istio.io/templates": "sidecar,extra"}), parse_injection_config(extra))
    assert proxy(injected)["tty"] is True
    assert proxy(injected)["image"] == "meshcore/proxy:0.1.0"
    assert injected["spec"]["dnsPolicy"] == "None"


def test_a_metrics_port_of_the_sidecar_is_refused():
    with pytest.raises(MeshError, match="15090 belongs to the sidecar"):
        inject(pod(annotations={"prometheus.io/port": "15090"}))


def test_a_forged_status_takes_out_only_what_it_names():
    forged = pod(annotations={STATUS: '{"containers": ["app"], "volumes": "x", "initContainers": null}'})
    injected = inject(forged)
    assert names(injected, "containers") == ["istio-proxy"]
    for broken in ("", "{", "[]", '{"containers": 5}', "{" * 50_000):
        assert "istio-proxy" in names(inject(pod(annotations={STATUS: broken})), "containers")


hostile_text = st.text(
    alphabet=st.one_of(st.sampled_from("\n\"':{}[]&*!|>%@`#-, \\\u2028\x85"), st.characters()), max_size=30
)


@settings(max_examples=40)
@given(hostile_text, hostile_text, hostile_text)
def test_names_and_labels_cannot_add_structure(name, label, port_name):
    given = pod(name=name, labels={"app": label})
    given["spec"]["containers"][0]["ports"] = [{"name": port_name, "containerPort": 1}]
    injected = inject(given)
    plain = inject(pod())
    assert proxy(injected).keys() == proxy(plain).keys()
    if name:
        assert environment(injected).keys() == environment(plain).keys()
    assert proxy(injected)["securityContext"] == proxy(plain)["securityContext"]
    assert json.loads(environment(injected)["ISTIO_META_POD_PORTS"]) == [{"name": port_name, "containerPort": 1}]
