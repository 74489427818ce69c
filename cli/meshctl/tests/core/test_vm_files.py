"""The files for a workload outside of the cluster."""

import json
import subprocess

import yaml
from meshcore.model.load import parse_object
from meshctl.core.vm_files import VmOptions, vm_files

GROUP = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "WorkloadGroup",
    "metadata": {"name": "reviews-vm", "namespace": "shop"},
    "spec": {
        "metadata": {"labels": {"app": "reviews", "version": "v3"}},
        "template": {"serviceAccount": "reviews", "network": "net2"},
        "probe": {"httpGet": {"port": 8080, "path": "/health"}, "periodSeconds": 5},
    },
}
MESH = {"data": {"mesh": "trustDomain: example.org\ndefaultConfig:\n  drainDuration: 10s\n"}}
OPTIONS = VmOptions(pilot="pilot.istio-system.svc:15012", citadel="citadel.istio-system.svc:8060")


def files(options=OPTIONS, **spec):
    return vm_files(parse_object({**GROUP, "spec": {**GROUP["spec"], **spec}}), MESH, options)


def variables(text):
    return dict(line.replace("'", "").split("=", 1) for line in text.splitlines())


def test_the_workload_is_told_who_it_is_and_where_the_control_plane_is():
    told = variables(files()["cluster.env"])
    assert told["SERVICE_ACCOUNT"] == "reviews"
    assert told["POD_NAMESPACE"] == "shop"
    assert told["TRUST_DOMAIN"] == "example.org"
    assert told["ISTIO_META_AUTO_REGISTER_GROUP"] == "reviews-vm"
    assert told["ISTIO_META_NETWORK"] == "net2"
    assert (told["CANONICAL_SERVICE"], told["CANONICAL_REVISION"]) == ("reviews", "v3")
    assert (told["PILOT_ADDR"], told["CA_ADDR"]) == (OPTIONS.pilot, OPTIONS.citadel)
    assert json.loads(told["ISTIO_METAJSON_LABELS"])["service.istio.io/canonical-name"] == "reviews"


def test_the_mesh_s_proxy_config_carries_the_group_s_probe():
    config = yaml.safe_load(files()["mesh.yaml"])["defaultConfig"]
    assert config["drainDuration"] == "10s"
    assert config["discoveryAddress"] == OPTIONS.pilot
    assert config["readinessProbe"]["httpGet"] == {"port": 8080, "path": "/health"}
    assert "readinessProbe" not in yaml.safe_load(files(probe=None)["mesh.yaml"])["defaultConfig"]


def test_no_word_of_a_group_is_a_word_of_the_shell_that_reads_it(tmp_path):
    odd = "a'; touch " + str(tmp_path / "mark") + "; echo '$(id) \\"
    text = files(template={"serviceAccount": "reviews", "network": odd})["cluster.env"]
    (tmp_path / "cluster.env").write_text(text)
    script = '. ./cluster.env; printf %s "$ISTIO_META_NETWORK"'
    said = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == (odd, "")
    assert not (tmp_path / "mark").exists()


def test_names_that_dns_does_not_know_are_in_the_hosts_file():
    assert files()["hosts"] == ""
    options = VmOptions(pilot=OPTIONS.pilot, citadel=OPTIONS.citadel, control_plane="10.0.0.9", auto_register=False)
    made = files(options)
    assert made["hosts"] == "10.0.0.9 pilot.istio-system.svc\n10.0.0.9 citadel.istio-system.svc\n"
    assert "AUTO_REGISTER" not in made["cluster.env"]
