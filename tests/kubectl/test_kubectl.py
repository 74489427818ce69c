"""Stock kubectl against Galley's config API: what people do every day, with default flags."""

import json
import os
import select
import subprocess
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.kubectl, pytest.mark.timeout(300)]

VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{name}]
  http:
  - route:
    - destination: {{host: {name}}}
      weight: {weight}
    - destination: {{host: other}}
      weight: 1
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: x}}
  ports:
  - {{name: a, port: 80}}
  - {{name: b, port: {port}}}
"""
CONFIG_MAP = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: "{value}"}}\n'


def virtual_service(name: str, weight: int = 1) -> str:
    return VIRTUAL_SERVICE.format(name=name, weight=weight)


def read(runner: Any, kind: str, name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(runner.run("get", kind, name, "-o", "yaml").stdout)
    return document


def test_apply_creates_changes_and_leaves_alone(runner: Any) -> None:
    assert "created" in runner.apply(virtual_service("apply")).stdout
    assert "unchanged" in runner.apply(virtual_service("apply")).stdout
    assert "configured" in runner.apply(virtual_service("apply", 5)).stdout
    document = read(runner, "virtualservices", "apply")
    assert document["spec"]["http"][0]["route"][0]["weight"] == 5
    assert document["metadata"]["generation"] == 2
    assert "deleted" in runner.run("delete", "virtualservice", "apply").stdout


def test_apply_of_core_kinds_merges_ports(runner: Any) -> None:
    runner.apply(SERVICE.format(name="merge", port=81))
    assert "unchanged" in runner.apply(SERVICE.format(name="merge", port=81)).stdout
    assert "configured" in runner.apply(SERVICE.format(name="merge", port=82)).stdout
    ports = read(runner, "service", "merge")["spec"]["ports"]
    assert [(port["name"], port["port"], port["targetPort"]) for port in ports] == [("a", 80, 80), ("b", 82, 82)]
    runner.run("delete", "service", "merge")


def test_apply_of_a_list_and_of_several_documents(runner: Any) -> None:
    items = [yaml.safe_load(CONFIG_MAP.format(name=f"list-{n}", value="v")) for n in range(2)]
    runner.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    together = "---\n".join((CONFIG_MAP.format(name="list-0", value="w"), virtual_service("list")))
    assert runner.apply(together).stdout.count("configured") == 1
    runner.run("delete", "-f", "-", stdin=together)
    runner.run("delete", "configmap", "list-1")


def test_create_replace_and_delete_from_a_file(runner: Any) -> None:
    text = virtual_service("file")
    assert "created" in runner.run("create", "-f", "-", stdin=text).stdout
    assert "AlreadyExists" in runner.run("create", "-f", "-", stdin=text, codes=(1,)).stderr
    assert "replaced" in runner.run("replace", "-f", "-", stdin=virtual_service("file", 3)).stdout
    assert "deleted" in runner.run("delete", "-f", "-", stdin=text).stdout
    assert "NotFound" in runner.run("delete", "-f", "-", stdin=text, codes=(1,)).stderr


def test_create_by_generators(runner: Any) -> None:
    assert "created" in runner.run("create", "configmap", "made", "--from-literal=a=b").stdout
    assert read(runner, "configmap", "made")["data"] == {"a": "b"}
    assert "created" in runner.run("create", "serviceaccount", "made").stdout
    assert "deleted" in runner.run("delete", "configmap/made", "serviceaccount/made").stdout


def test_get_prints_tables(runner: Any) -> None:
    runner.apply(virtual_service("table"))
    runner.apply(SERVICE.format(name="table", port=81))
    header, row = runner.run("get", "vs").stdout.strip().splitlines()
    assert header.split() == ["NAME", "GATEWAYS", "HOSTS", "AGE"]
    assert row.split()[:2] == ["table", '["table"]']
    wide = runner.run("get", "services", "-o", "wide", "--show-labels").stdout
    assert "80/TCP,81/TCP" in wide
    assert "app=x" in wide
    assert runner.namespace in runner.run("get", "virtualservices.networking.istio.io", "-A").stdout
    assert "virtualservice.networking.istio.io/table" in runner.run("get", "istio-io").stdout
    assert runner.run("get", "vs", "-o", "name").stdout.strip() == "virtualservice.networking.istio.io/table"
    assert runner.run("get", "vs", "table", "-o", "jsonpath={.spec.hosts[0]}").stdout == "table"
    runner.run("delete", "vs/table", "service/table")


def test_get_in_every_version(runner: Any) -> None:
    runner.apply(virtual_service("versions"))
    for version in ("v1", "v1beta1", "v1alpha3"):
        shown = runner.run("get", f"virtualservices.{version}.networking.istio.io", "versions", "-o", "json").stdout
        assert json.loads(shown)["apiVersion"] == f"networking.istio.io/{version}"
    runner.run("delete", "vs", "versions")


def test_selectors(runner: Any) -> None:
    for name in ("one", "two"):
        runner.apply(CONFIG_MAP.format(name=name, value="v"))
    runner.run("label", "configmap", "one", "app=x")
    assert runner.run("get", "cm", "-l", "app in (x,z)", "-o", "name").stdout.split() == ["configmap/one"]
    assert runner.run("get", "cm", "--field-selector=metadata.name=two", "-o", "name").stdout.split() == [
        "configmap/two"
    ]
    runner.run("delete", "cm", "-l", "app=x")
    assert "one" not in runner.run("get", "cm").stdout
    runner.run("delete", "cm", "--all")


def test_watch_prints_changes(runner: Any) -> None:
    runner.apply(CONFIG_MAP.format(name="watched", value="first"))
    command = runner.command("get", "configmap", "watched", "-w", "-o", 'jsonpath={.data.key}{"\\n"}')
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watch:
        try:
            printed = read_until(watch, b"first")
            runner.apply(CONFIG_MAP.format(name="watched", value="second"))
            printed += read_until(watch, b"second")
        finally:
            watch.kill()
    assert printed.split() == [b"first", b"second"]
    runner.run("delete", "cm", "watched")


def read_until(process: "subprocess.Popen[bytes]", text: bytes) -> bytes:
    """What the process prints up to this text, within a minute."""
    assert process.stdout is not None
    found = b""
    while text not in found:
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, f"{text!r} did not come, only {found!r}"
        part = os.read(process.stdout.fileno(), 4096)
        assert part, f"the watch ended after {found!r}"
        found += part
    return found


def test_patch_label_and_annotate(runner: Any) -> None:
    runner.apply(virtual_service("patched"))
    assert "labeled" in runner.run("label", "vs", "patched", "a=b").stdout
    assert "annotate" in runner.run("annotate", "vs", "patched", "c=d").stdout
    patch = '{"spec":{"hosts":["changed"]}}'
    assert "patched" in runner.run("patch", "vs", "patched", "--type=merge", "-p", patch).stdout
    assert "no change" in runner.run("patch", "vs", "patched", "--type=merge", "-p", patch).stdout
    strategic = runner.run("patch", "vs", "patched", "-p", patch, codes=(1,)).stderr
    assert "not supported" in strategic or "UnsupportedMediaType" in strategic
    operations = '[{"op":"replace","path":"/spec/hosts/0","value":"again"}]'
    assert "patched" in runner.run("patch", "vs", "patched", "--type=json", "-p", operations).stdout
    document = read(runner, "vs", "patched")
    assert (document["metadata"]["labels"], document["spec"]["hosts"]) == ({"a": "b"}, ["again"])
    assert document["metadata"]["annotations"]["c"] == "d"
    runner.run("delete", "vs", "patched")


def test_dry_run_and_diff_change_nothing(runner: Any) -> None:
    runner.apply(virtual_service("dry"))
    before = read(runner, "vs", "dry")
    assert "(server dry run)" in runner.apply(virtual_service("dry", 9), "--dry-run=server").stdout
    shown = runner.run("diff", "-f", "-", stdin=virtual_service("dry", 9), codes=(1,)).stdout
    assert "+    - destination" in shown or "+      weight: 9" in shown
    assert runner.run("diff", "-f", "-", stdin=virtual_service("dry")).stdout == ""
    assert "server dry run" in runner.run("delete", "vs", "dry", "--dry-run=server").stdout
    assert "(server dry run)" in runner.apply(virtual_service("never"), "--dry-run=server").stdout
    assert read(runner, "vs", "dry") == before
    assert "NotFound" in runner.run("get", "vs", "never", codes=(1,)).stderr
    runner.run("delete", "vs", "dry")


def test_explain_knows_the_fields(runner: Any) -> None:
    shown = runner.run("explain", "virtualservice.spec.http.route").stdout
    assert "weight" in shown
    assert "destination" in shown
    assert "port" in runner.run("explain", "service.spec.ports").stdout


def test_wait_and_describe(runner: Any) -> None:
    runner.apply(CONFIG_MAP.format(name="waited", value="v"))
    if runner.version >= (1, 23):
        runner.run("wait", "--for=jsonpath={.data.key}=v", "configmap/waited", "--timeout=60s")
    assert "waited" in runner.run("describe", "configmap", "waited").stdout
    assert "Active" in runner.run("describe", "namespace", runner.namespace).stdout
    runner.run("delete", "configmap", "waited", "--wait=false")
    # What is already gone is an error to kubectl 1.20.
    runner.run(
        "wait", "--for=delete", "configmap/waited", "--timeout=60s", codes=(0,) if runner.version > (1, 20) else (1,)
    )


def test_unknown_field_is_refused(runner: Any) -> None:
    text = virtual_service("strict").replace("- route:", "- bogus: 1\n    route:")
    assert 'unknown field "' in runner.apply(text, codes=(1,)).stderr
    assert "bogus" in runner.apply(text, codes=(1,)).stderr
    assert "NotFound" in runner.run("get", "vs", "strict", codes=(1,)).stderr
    if runner.version >= (1, 27):
        assert 'Warning: unknown field "spec.http[0].bogus"' in runner.apply(text, "--validate=warn").stderr
    else:
        runner.apply(text, "--validate=false")
    assert "bogus" not in read(runner, "vs", "strict")["spec"]["http"][0]
    runner.run("delete", "vs", "strict")


def test_wrong_values_are_all_named(runner: Any) -> None:
    shown = runner.apply(virtual_service("bad_name", -1).replace("name: bad_name", "name: bad"), codes=(1,)).stderr
    assert "spec.http[0].route[0].weight: Invalid value" in shown
    assert "spec.hosts[0]: Invalid value" in shown


def test_missing_subset_is_warned_of(runner: Any) -> None:
    text = virtual_service("subset").replace("{host: subset}", "{host: subset, subset: v1}")
    assert "has the subset 'v1'" in runner.apply(text).stderr
    runner.run("delete", "vs", "subset")


def test_workload_token(runner: Any) -> None:
    if runner.version < (1, 24):
        shown = runner.run("create", "token", "default", codes=(1,)).stderr
        assert "unknown" in shown or "must specify" in shown.lower()
        return
    token = runner.run("create", "token", "default", "--audience=istio-ca").stdout.strip()
    assert token.count(".") == 2


def test_list_of_what_there_is(runner: Any) -> None:
    resources = runner.run("api-resources", "--no-headers").stdout
    for plural in ("virtualservices", "peerauthentications", "endpointslices", "configmaps"):
        assert plural in resources
    assert "networking.istio.io/v1beta1" in runner.run("api-versions").stdout
    assert "Server Version" in runner.run("version").stdout


def test_without_the_token_everything_is_refused(runner: Any) -> None:
    for arguments in (("get", "vs"), ("apply", "-f", "-"), ("delete", "namespace", runner.namespace)):
        shown = runner.run(*arguments, stdin=virtual_service("intruder"), codes=(1,), token="not-the-token").stderr
        assert "nauthorized" in shown or "provide credentials" in shown
    assert "NotFound" in runner.run("get", "vs", "intruder", codes=(1,)).stderr


def test_callers_ask_what_they_may(runner: Any) -> None:
    assert runner.run("auth", "can-i", "create", "virtualservices.networking.istio.io").stdout.strip() == "yes"
    assert runner.run("auth", "can-i", "get", "/api").stdout.strip() == "yes"
    assert "virtualservices.networking.istio.io" in runner.run("auth", "can-i", "--list").stdout
    if runner.version >= (1, 28):
        assert "admin" in runner.run("auth", "whoami").stdout


def test_dry_run_warns_of_what_analysis_finds(runner: Any) -> None:
    shown = runner.apply(virtual_service("foreseen"), "--dry-run=server").stderr
    assert "Warning: Error [IST0101] (VirtualService" in shown
    assert "IST0101" not in runner.apply(virtual_service("foreseen")).stderr
    runner.run("delete", "vs", "foreseen")


def test_server_side_apply_has_owners_and_conflicts(runner: Any) -> None:
    def apply(text: str, *options: str, codes: tuple[int, ...] = (0,)) -> Any:
        return runner.run("apply", "--server-side", "-f", "-", *options, stdin=text, codes=codes)

    text = virtual_service("owned")
    assert "serverside-applied" in apply(text).stdout
    version = read(runner, "vs", "owned")["metadata"]["resourceVersion"]
    assert "serverside-applied" in apply(text).stdout
    assert read(runner, "vs", "owned")["metadata"]["resourceVersion"] == version
    refused = apply(virtual_service("owned", 7), "--field-manager=other", codes=(1,))
    assert 'conflict with "kubectl": .spec.http' in refused.stderr
    apply(virtual_service("owned", 7), "--field-manager=other", "--force-conflicts")
    assert read(runner, "vs", "owned")["spec"]["http"][0]["route"][0]["weight"] == 7
    runner.run("delete", "vs", "owned")


def test_server_side_apply_takes_over_from_client_side(runner: Any) -> None:
    text = CONFIG_MAP.format(name="migrated", value="first")
    runner.apply(text)
    runner.run("apply", "--server-side", "-f", "-", "--force-conflicts", stdin=text)
    changed = CONFIG_MAP.format(name="migrated", value="second")
    runner.run("apply", "--server-side", "-f", "-", "--force-conflicts", stdin=changed)
    assert read(runner, "configmap", "migrated")["data"] == {"key": "second"}
    runner.run("delete", "configmap", "migrated")


def test_secrets_are_made_read_and_replaced(runner: Any) -> None:
    assert "created" in runner.run("create", "secret", "generic", "cert", "--from-literal=a=b").stdout
    assert read(runner, "secret", "cert")["data"] == {"a": "Yg=="}
    header, row = runner.run("get", "secrets").stdout.strip().splitlines()
    assert header.split() == ["NAME", "TYPE", "DATA", "AGE"]
    assert row.split()[:3] == ["cert", "Opaque", "1"]
    assert "a:  1 bytes" in runner.run("describe", "secret", "cert").stdout
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: cert}\nstringData: {a: c}\n"
    runner.apply(text)
    assert read(runner, "secret", "cert")["data"] == {"a": "Yw=="}
    runner.run("delete", "secret", "cert")


def test_ingresses_are_made_read_and_described(runner: Any) -> None:
    rules = ("--rule=shop.test/cart*=cart:80,tls=shop-cert", "--rule=shop.test/=front:web", "--class=istio")
    assert "created" in runner.run("create", "ingress", "shop", *rules).stdout
    header, row = runner.run("get", "ing").stdout.strip().splitlines()
    assert header.split() == ["NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"]
    assert row.split()[:5] == ["shop", "istio", "shop.test", "80,", "443"]
    assert "shop-cert terminates shop.test" in runner.run("describe", "ingress", "shop").stdout
    found = read(runner, "ingress", "shop")
    assert "replaced" in runner.run("replace", "-f", "-", stdin=json.dumps(found)).stdout
    spec = found["spec"]
    assert spec["tls"] == [{"hosts": ["shop.test"], "secretName": "shop-cert"}]
    paths = [(item["path"], item["pathType"], item["backend"]) for item in spec["rules"][0]["http"]["paths"]]
    assert paths == [
        ("/cart", "Prefix", {"service": {"name": "cart", "port": {"number": 80}}}),
        ("/", "Exact", {"service": {"name": "front", "port": {"name": "web"}}}),
    ]
    kind = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: own}\n"
    runner.apply(f"{kind}spec: {{controller: istio.io/ingress-controller}}\n")
    assert "istio.io/ingress-controller" in runner.run("get", "ingressclasses").stdout
    wrong = runner.run("create", "ingress", "wrong", "--rule=10.0.0.1/=front:80", codes=(1,)).stderr
    assert "is an address" in wrong
    runner.run("delete", "ingress/shop", "ingressclass/own")
