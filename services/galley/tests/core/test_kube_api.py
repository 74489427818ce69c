"""The words of the Kubernetes API: paths, queries, media types, bodies, Status, tables, discovery, OpenAPI."""

import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from galley.core.kube_api import discovery, openapi_v2, openapi_v3, protobuf_body, status
from galley.core.kube_api.bodies import decode_json
from galley.core.kube_api.negotiation import Form, aggregated_discovery_version, choose_form
from galley.core.kube_api.paths import ResourcePath, parse_resource_path
from galley.core.kube_api.query import parse_boolean, parse_read_options, parse_write_options
from galley.core.kube_api.schemas import kind_schema
from galley.core.kube_api.selectors import parse_selection
from galley.core.kube_api.tables import age
from galley.core.kube_api.warnings import warning_headers
from hypothesis import given
from hypothesis import strategies as st
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.kinds import KINDS, KindInfo, by_kind

CONFIG_MAP = by_kind("v1", "ConfigMap")
VIRTUAL_SERVICE = by_kind("networking.istio.io/v1", "VirtualService")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/namespaces", ("", "v1", "namespaces", None, None, None)),
        ("/api/v1/namespaces/shop", ("", "v1", "namespaces", None, "shop", None)),
        ("/api/v1/namespaces/shop/status", ("", "v1", "namespaces", None, "shop", "status")),
        ("/api/v1/namespaces/shop/configmaps", ("", "v1", "configmaps", "shop", None, None)),
        ("/api/v1/namespaces/shop/configmaps/a/", ("", "v1", "configmaps", "shop", "a", None)),
        ("/api/v1/configmaps", ("", "v1", "configmaps", None, None, None)),
        ("/api/v1/namespaces/s/serviceaccounts/d/token", ("", "v1", "serviceaccounts", "s", "d", "token")),
        ("/apis/g/v1/namespaces/s/sidecars/a/status", ("g", "v1", "sidecars", "s", "a", "status")),
        ("/apis/g/v1", None),
        ("/api/v1", None),
        ("/apis/g/v1/namespaces/s/a/b/c/d", None),
        ("/", None),
    ],
)
def test_resource_paths(path: str, expected: tuple[Any, ...] | None) -> None:
    assert parse_resource_path(path) == (None if expected is None else ResourcePath(*expected))


@pytest.mark.parametrize(
    ("text", "value"),
    [(None, False), ("0", False), ("false", False), ("FALSE", False), ("", True), ("True", True), ("1", True)],
)
def test_booleans_as_the_api_server_reads_them(text: str | None, *, value: bool) -> None:
    assert parse_boolean(text) is value


def test_read_and_write_options() -> None:
    options = parse_read_options({"watch": "True", "limit": "5", "timeoutSeconds": "3", "resourceVersion": "0"})
    assert (options.watch, options.limit, options.timeout, options.revision) == (True, 5, timedelta(seconds=3), 0)
    assert parse_write_options({}, ("All",)).dry_run
    with pytest.raises(status.StatusError):
        parse_write_options({}, ("All", "Some"))


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form.OBJECT),
        ("*/*", Form.OBJECT),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Form.TABLE),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Form.OBJECT),
        ("application/vnd.kubernetes.protobuf,application/json", Form.OBJECT),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Form.METADATA),
        ("application/yaml", Form.YAML),
    ],
)
def test_form_is_the_first_that_can_be_made(accept: str, form: Form) -> None:
    assert choose_form(accept) is form


def test_aggregated_discovery_is_only_for_who_asks_first() -> None:
    newer = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    assert aggregated_discovery_version(newer) == "v2"
    assert aggregated_discovery_version(newer.replace("v2", "v2beta1")) == "v2beta1"
    assert aggregated_discovery_version("application/json") is None
    assert aggregated_discovery_version("application/json," + newer) is None


def test_keys_that_stand_twice_are_found_with_their_paths() -> None:
    body = decode_json(b'{"a":[{"b":1,"b":2}],"c":{"d.e":1,"d.e":1},"c":{}}')
    assert body.document == {"a": [{"b": 2}], "c": {}}
    assert body.duplicates == ("c", "a[0].b")


def test_invalid_names_every_cause() -> None:
    error = status.invalid(VIRTUAL_SERVICE, "v", [Violation("spec.a", "bad", "good"), Violation("spec.b", "worse")])
    assert error.body["details"] == {
        "name": "v",
        "group": "networking.istio.io",
        "kind": "VirtualService",
        "causes": [
            {"reason": "FieldValueInvalid", "message": "Invalid value: bad (expected good)", "field": "spec.a"},
            {"reason": "FieldValueInvalid", "message": "Invalid value: worse", "field": "spec.b"},
        ],
    }
    assert error.body["message"].startswith('VirtualService.networking.istio.io "v" is invalid: [spec.a: ')


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_has_a_status(code: ErrorCode) -> None:
    body = status.from_error(MeshError(code, "why"), CONFIG_MAP, "a").body
    assert body["kind"] == "Status"
    assert 400 <= body["code"] <= 599
    assert body["reason"]


def test_warnings_are_quoted_and_told_once() -> None:
    assert warning_headers(['unknown field "a"', 'unknown field "a"', "b\n\\é☃"]) == [
        ("Warning", '299 - "unknown field \\"a\\""'),
        ("Warning", '299 - "b \\\\é?"'),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s"), (119, "119s"), (200, "3m20s"), (3600, "60m"), (4 * 3600, "4h"), (86400 * 3, "3d"), (86400 * 800, "2y")],
)
def test_ages_are_short(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert age((now - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"), now) == text


def test_selection_by_field_and_label() -> None:
    selection = parse_selection("app=x", "metadata.name!=b,metadata.namespace==s")
    assert selection.matches({"metadata": {"name": "a", "namespace": "s", "labels": {"app": "x"}}})
    assert not selection.matches({"metadata": {"name": "b", "namespace": "s", "labels": {"app": "x"}}})
    assert not selection.matches({"metadata": {"name": "a", "namespace": "s"}})
    assert parse_selection("", "metadata.name=a").name == "a"


def test_discovery_forms_agree() -> None:
    for group, versions in discovery.groups().items():
        for version in versions:
            legacy = discovery.api_resource_list(group, version)["resources"]
            listed = {item["name"] for item in legacy if "/" not in item["name"]}
            assert listed == {info.plural for info in KINDS if info.group == group and version in info.versions}
    aggregated = [discovery.aggregated("v2", core=core) for core in (True, False)]
    names = {
        (item["metadata"].get("name", ""), version["version"], resource["resource"])
        for document in aggregated
        for item in document["items"]
        for version in item["versions"]
        for resource in version["resources"]
    }
    assert names == {(info.group, version, info.plural) for info in KINDS for version in info.versions}


@pytest.mark.parametrize("info", KINDS, ids=lambda info: info.kind)
def test_schemas_are_structural(info: KindInfo) -> None:
    for version in info.versions:
        schema = kind_schema(info, version)
        text = json.dumps(schema.definitions)
        for keyword in ("anyOf", "oneOf", "allOf", "$defs", '"null"'):
            assert keyword not in text
        references = {value for value in _values_of("$ref", schema.definitions)}
        assert references <= set(schema.definitions)


def _values_of(key: str, value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from _values_of(key, item)
    elif isinstance(value, list):
        for item in value:
            yield from _values_of(key, item)


def test_openapi_v3_says_that_the_server_validates() -> None:
    for path in openapi_v3.root()["paths"].values():
        group_version = path["serverRelativeURL"].split("?")[0].removeprefix("/openapi/v3/").split("/")
        document = openapi_v3.document(group_version[1] if len(group_version) == 3 else "", group_version[-1])
        patches = [item["patch"] for item in document["paths"].values() if "patch" in item]
        assert patches
        for patch in patches:
            assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
            kind = patch["x-kubernetes-group-version-kind"]
            assert any(
                kind in schema.get("x-kubernetes-group-version-kind", [])
                for schema in document["components"]["schemas"].values()
            )


def read_message(body: bytes) -> list[tuple[int, bytes]]:
    """Fields of a message that has only length-delimited ones: a reader independent of the writer."""
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(body):
        tag, size = varint(), varint()
        assert tag & 7 == 2
        assert at + size <= len(body)
        found.append((tag >> 3, body[at : at + size]))
        at += size
    return found


def test_openapi_v2_is_a_document_of_every_kind() -> None:
    document = read_message(openapi_v2.encoded())
    assert [number for number, _ in document] == [1, 2, 8, 9]
    definitions = [read_message(item)[0][1].decode() for _, item in read_message(document[3][1])]
    assert "io.istio.networking.v1.VirtualService" in definitions
    paths = [read_message(item)[0][1].decode() for _, item in read_message(document[2][1])]
    assert len(paths) == sum(len(info.versions) for info in KINDS)


def field(number: int, body: bytes | str) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    return bytes([number << 3 | 2, len(raw)]) + raw


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def test_protobuf_bodies_of_generators() -> None:
    meta = field(1, "notes") + field(3, "shop") + field(11, field(1, "a") + field(2, "b"))
    data = field(2, field(1, "key") + field(2, "value")) + field(3, field(1, "raw") + field(2, b"\x00\x01"))
    body = envelope("v1", "ConfigMap", field(1, meta) + data + b"\x20\x01")
    assert protobuf_body.decode_body(body) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "notes", "namespace": "shop", "labels": {"a": "b"}},
        "data": {"key": "value"},
        "binaryData": {"raw": "AAE="},
        "immutable": True,
    }
    spec = field(1, "istio-ca") + b"\x20" + bytes([0x90, 0x1C])
    request = protobuf_body.decode_body(envelope("authentication.k8s.io/v1", "TokenRequest", field(2, spec)))
    assert request["spec"] == {"audiences": ["istio-ca"], "expirationSeconds": 3600}


def outcome(body: bytes) -> object:
    """The kind that was decoded, or the HTTP code of the refusal; any other error is a bug."""
    try:
        return protobuf_body.decode_body(body)["kind"]
    except status.StatusError as error:
        return error.http


@given(st.binary(max_size=60))
def test_broken_protobuf_is_refused_and_nothing_else(body: bytes) -> None:
    for broken in (body, b"k8s\x00" + body, envelope("v1", "ConfigMap", body[:100])):
        assert outcome(broken) in ("ConfigMap", 400, 415)


@given(st.integers(min_value=0, max_value=2**63))
def test_fixed_width_fields_are_passed_over(number: int) -> None:
    extra = bytes([15 << 3 | 1]) + struct.pack("<Q", number)
    body = envelope("v1", "Namespace", field(1, field(1, "shop")) + extra)
    assert protobuf_body.decode_body(body)["metadata"] == {"name": "shop"}
