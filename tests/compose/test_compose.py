"""The control plane in containers, as a developer uses it."""

import json
import ssl
import stat
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import yaml
from compose_stack import ADMIN_PORTS, CONFIG_API, PUBLISHED, SERVICES, SHOP, WORKLOADS

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]


def virtual_service(name, weight=100):
    return yaml.safe_dump(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "hosts": [name],
                "http": [{"route": [{"destination": {"host": name}, "weight": weight}]}],
            },
        }
    )


def converged(stack, name, **spec):
    """Apply, and wait until Pilot says that everybody has it; the receipt."""
    stack.kubectl("apply", "-f", "-", stdin=virtual_service(name, **spec))
    written = json.loads(stack.kubectl("get", "virtualservice", name, "-o", "json").stdout)
    revision = written["metadata"]["resourceVersion"]
    with stack.admin("pilot") as pilot:
        return pilot.get(f"/api/v1/changes/{revision}/receipt", params={"wait": 30})


def test_every_service_is_up_and_init_is_done(stack):
    containers = stack.containers()
    once = {"init", *(f"{name}-capture" for name in WORKLOADS)}
    for name in once:
        assert containers[name]["State"]["ExitCode"] == 0, name
    kept = {name for name, one in containers.items() if one["State"]["Running"]}
    assert kept == set(containers) - once
    assert {"nats", "postgres", "enrol", "ingress", "egress", *SERVICES} <= kept
    assert {f"{name}{part}" for name in WORKLOADS for part in ("", "-proxy", "-app")} <= kept
    assert not kept & {"prometheus", "grafana", "outsider"}


def test_only_the_promised_ports_are_published_and_only_on_loopback(stack):
    published = {}
    for one in stack.containers().values():
        for inside, bindings in (one["HostConfig"]["PortBindings"] or {}).items():
            for binding in bindings:
                assert binding["HostIp"] == "127.0.0.1"
                published[int(binding["HostPort"])] = inside
    assert published == PUBLISHED


def test_containers_have_no_more_than_they_need(stack):
    containers = stack.containers()
    for name, one in containers.items():
        assert one["HostConfig"]["ReadonlyRootfs"] is True, name
        assert one["HostConfig"]["CapDrop"] == ["ALL"], name
        assert one["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"], name
        assert one["HostConfig"]["Memory"] > 0 or name == "init", name
        capture = name.endswith("-capture")
        assert ("NET_ADMIN" in str(one["HostConfig"]["CapAdd"])) == capture, name
        assert (one["Config"]["User"] == "0:0") == (capture or name == "postgres"), name
    for name in ("pilot", "injector", "nats"):
        assert volumes_of(containers[name]) == {f"identity-{name}", name}
    for name in WORKLOADS:
        assert volumes_of(containers[f"{name}-proxy"]) == {f"workload-{name}"}
        assert volumes_of(containers[f"{name}-app"]) == set()


def volumes_of(container):
    named = [mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume"]
    return {name.split("_", 1)[-1] for name in named}


def test_every_service_is_ready_on_its_published_admin_port(stack):
    for service in ADMIN_PORTS:
        with stack.admin(service, token=False) as admin:
            assert admin.get("/readyz").status_code == 200, service
            assert admin.get("/version").json()["service"] == service
            assert admin.get("/debug/tasks").status_code == 401
        with stack.admin(service) as admin:
            assert admin.get("/debug/tasks").status_code == 200


def test_check_finds_nothing_wrong_and_every_service(stack):
    command = [sys.executable, "-m", "meshctl", "check", "--compose", stack.project, "--timeout", "60", "-o", "json"]
    done = stack.run(*command, check=False)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["findings"] == []
    assert done.returncode == 0
    states = {one["name"]: one["state"] for one in told["services"]}
    assert states == dict.fromkeys(("galley", "citadel", "pilot", "injector"), "ready")
    (process,) = told["pilots"]
    assert process["config"]["source"] == "bus"
    assert {one["role"] for one in told["certificates"]} >= {"root", "signer", "service", "workload"}


def test_kubectl_applies_gets_and_deletes(stack):
    path = Path(stack.kubeconfig())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stack.kubectl("apply", "-f", "-", stdin=virtual_service("front"))
    listed = yaml.safe_load(stack.kubectl("get", "virtualservices", "-o", "yaml").stdout)
    assert "front" in [item["metadata"]["name"] for item in listed["items"]]
    stack.kubectl("delete", "virtualservice", "front")
    gone = stack.kubectl("get", "virtualservice", "front", check=False)
    assert gone.returncode != 0
    assert "NotFound" in gone.stderr


def test_a_bad_object_is_refused_with_the_reason(stack):
    done = stack.kubectl("apply", "-f", "-", stdin=virtual_service("front", weight=-1), check=False)
    assert done.returncode != 0
    assert "weight" in done.stderr


def test_without_the_token_nothing_is_told(stack, tmp_path):
    config = yaml.safe_load(Path(stack.kubeconfig()).read_text())
    for user in config["users"]:
        user["user"] = {"token": "not-the-token"}
    without = tmp_path / "kubeconfig"
    without.write_text(yaml.safe_dump(config))
    without.chmod(0o600)
    done = stack.kubectl("get", "virtualservices", check=False, kubeconfig=str(without))
    assert done.returncode != 0
    assert "Unauthorized" in done.stderr or "logged in" in done.stderr
    with stack.admin("galley", token=False) as client, pytest.raises(httpx.HTTPError):
        client.get("http://127.0.0.1:8081/apis")
    with httpx.Client(verify=ssl.create_default_context(cadata=stack.root)) as client:
        answer = client.get(f"{CONFIG_API}/apis/networking.istio.io/v1/namespaces/default/virtualservices")
    assert answer.status_code == 401
    assert answer.json()["kind"] == "Status"


def test_a_change_has_a_complete_receipt(stack):
    receipt = converged(stack, "details")
    assert receipt.status_code == 200
    assert receipt.json()["complete"] is True
    with stack.admin("pilot") as pilot:
        assert pilot.get("/debug/syncz").status_code == 200


WEBHOOK = """
import json, ssl, sys, urllib.request
pod = {"metadata": {"name": "front"}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
request = {"uid": "u", "kind": {"kind": "Pod"}, "namespace": sys.argv[1], "object": pod}
review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
trust = ssl.create_default_context(cafile="/var/lib/meshcore/identity/galley/root-cert.pem")
asked = urllib.request.Request("https://injector:15017/inject", json.dumps(review).encode(),
                               {"Content-Type": "application/json"})
print(json.load(urllib.request.urlopen(asked, timeout=60, context=trust))["response"].get("patchType"))
"""


def test_the_webhook_answers_by_its_name_and_follows_the_config(stack):
    for name, label, expected in (("shop", "enabled", "JSONPatch"), ("outside", "disabled", "None")):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        namespace["metadata"]["labels"] = {"istio-injection": label}
        stack.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(namespace))
        known = json.loads(stack.kubectl("get", "namespace", name, "-o", "json").stdout)
        wait_for_injector(stack, int(known["metadata"]["resourceVersion"]))
        assert stack.in_container("galley", WEBHOOK, name).strip() == expected


def wait_for_injector(stack, revision):
    """Until the injector's feed has the revision."""
    deadline = time.monotonic() + 60
    with stack.admin("injector") as injector:
        while (shown := injector.get("/debug/inject").json()["revision"] or 0) < revision:
            assert time.monotonic() < deadline, f"the injector stays at revision {shown}, not {revision}"
            threading.Event().wait(0.05)


CERTIFICATE = """
import sys
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
key = ec.generate_private_key(ec.SECP256R1())
csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
root = open("/var/lib/meshcore/identity/injector/root-cert.pem", "rb").read()
with grpc.secure_channel("citadel:8060", grpc.ssl_channel_credentials(root)) as channel:
    request = ca_pb2.IstioCertificateRequest(csr=csr.public_bytes(serialization.Encoding.PEM).decode())
    stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)
    try:
        answer = stub.CreateCertificate(request, timeout=60, metadata=[("authorization", "Bearer " + sys.argv[1])])
    except grpc.RpcError as error:
        print(error.code().name, error.details())
        sys.exit()
leaf = x509.load_pem_x509_certificate(answer.cert_chain[0].encode())
names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
print(*names.get_values_for_type(x509.UniformResourceIdentifier))
"""


def test_a_workload_token_of_galley_buys_a_certificate_of_citadel(stack):
    stack.kubectl("create", "serviceaccount", "buyer")
    request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"audiences": ["istio-ca"]}}
    path = "/api/v1/namespaces/default/serviceaccounts/buyer/token"
    answer = stack.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(request)).stdout
    token = json.loads(answer)["status"]["token"]
    assert stack.in_container("injector", CERTIFICATE, token).strip() == "spiffe://cluster.local/ns/default/sa/buyer"
    assert stack.in_container("injector", CERTIFICATE, token[:-4] + "AAAA").startswith("UNAUTHENTICATED")


@pytest.mark.parametrize("service", ["galley", "nats", "postgres", "pilot", "citadel", "injector"])
def test_a_killed_service_comes_back_and_no_request_fails_meanwhile(stack, service):
    # what is needed to ask is known before anything is away
    assert stack.root
    assert stack.token
    with stack.shoppers() as answers:
        stack.compose("kill", "-s", "KILL", service)
        for other in SERVICES:
            if other != service:
                with stack.admin(other, token=False) as admin:
                    assert admin.get("/healthz").status_code == 200, f"{other} while {service} is away"
        stack.compose("up", "-d", "--no-deps", "--wait", "--wait-timeout", "60", service)
        receipt = converged(stack, f"after-{service}")
        assert receipt.json()["complete"] is True
    assert len(answers) > 20
    assert set(answers) == {200}


def test_config_and_identities_survive_taking_the_containers_down(stack):
    stack.kubectl("apply", "-f", "-", stdin=virtual_service("kept"))
    before = Path(stack.kubeconfig()).read_text()
    stack.compose("down", "-t", "5")
    stack.compose("up", "-d", "--wait", "--wait-timeout", "120")
    assert Path(stack.kubeconfig()).read_text() == before
    assert "kept" in stack.kubectl("get", "virtualservices").stdout
    with httpx.Client() as client:
        assert client.get(SHOP, timeout=60).status_code == 200
