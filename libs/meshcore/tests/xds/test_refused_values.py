"""Values that the API lets pass and Envoy refuses: named, and refused by a real one. Their neighbours are not."""

import pytest
from google.protobuf import json_format
from meshcore.testing.envoy import validate
from meshcore.xds import registry
from meshcore.xds.constraints import violations, wrong_values
from meshcore.xds.lua import script_fault

TYPES = "type.googleapis.com/envoy.extensions"
OPTIONS = {
    "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
    "explicit_http_config": {"http_protocol_options": {}},
}
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def bootstrap(route=None, log=None, filters=(), listener=None, cluster=None):
    """One listener that answers by itself, and one cluster."""
    rule = {"match": {"prefix": "/"}, **(route or {"direct_response": {"status": 200}})}
    router = {"name": "router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}}
    logger = {"@type": f"{TYPES}.access_loggers.file.v3.FileAccessLog", "path": "/dev/null", **(log or {})}
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "route_config": {"name": "r", "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [rule]}]},
        "http_filters": [*filters, router],
        "access_log": [{"name": "log", "typed_config": logger}],
    }
    made = {
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }
    target = {"name": "c", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "c"}}
    return {"static_resources": {"listeners": [made | (listener or {})], "clusters": [target | (cluster or {})]}}


def header(value, key="x"):
    answer = {"direct_response": {"status": 200}}
    return {"route": answer | {"response_headers_to_add": [{"header": {"key": key, "value": value}}]}}


def weighted(*weights):
    clusters = [{"name": "c"} | ({} if weight is None else {"weight": weight}) for weight in weights]
    return {"route": {"route": {"weighted_clusters": {"clusters": clusters}}}}


def lua(code):
    config = {"@type": f"{TYPES}.filters.http.lua.v3.Lua", "default_source_code": {"inline_string": code}}
    return {"filters": [{"name": "lua", "typed_config": config}]}


def lines(**log_format):
    return {"log": {"log_format": log_format}}


def at(address):
    return {"address": {"socket_address": {"address": address, "port_value": 1}}}


REFUSED = {
    "format without an end": (header("%REQ(X%"), "header.value has no command operator at its %"),
    "format without a name": (header("%(x)%"), "header.value has no command operator"),
    "small letters": (header("%req(x)%"), "header.value has no command operator"),
    "a percent sign": (header("100%"), "header.value has no command operator"),
    "a line end in a value": (header("a\nb"), "header.value must match"),
    "a line end in a name": (header("a", "x\r"), "header.key must match"),
    "log": (lines(text_format_source={"inline_string": "%REQ(X"}), "text_format_source has no command"),
    "log in JSON": (lines(json_format={"a": [{"b": "100% sure"}]}), "json_format[a] has no command operator"),
    "old log": ({"log": {"format": "%REQ(X"}}, "format has no command operator"),
    "no weight": (weighted(0, 0), "clusters have weights that sum to 0"),
    "a weight missing": (weighted(1, None), "clusters need a weight each"),
    "a name for an address": ({"listener": at("localhost")}, "address 'localhost' is no IP address"),
    "one more": ({"listener": {"additional_addresses": [at("a.b")]}}, "additional_addresses 'a.b' is no IP address"),
    "options": (
        {"cluster": {"typed_extension_protocol_options": {"http": OPTIONS}}},
        "typed_extension_protocol_options has",
    ),
    "script": (lua("function a( end"), "default_source_code is no Lua: line 1: <name> or '...' expected near 'end'"),
    "script with a label": (lua("goto away"), "default_source_code is no Lua: line 1: undefined label 'away'"),
}
TAKEN = {
    "operators": header("%REQ(X?Y):3% %% %START_TIME(%Y/%m/%d)% %CEL(size(request.headers))%"),
    "odd name": header("a", "x y"),
    "log": lines(text_format_source={"inline_string": "%REQ(:PATH)%\n"}),
    "log in JSON": lines(json_format={"a": [{"b": "%PROTOCOL%", "c": 3}]}),
    "weights": weighted(1, 0),
    "options": {"cluster": {"typed_extension_protocol_options": {HTTP_OPTIONS: OPTIONS}}},
    "address": {"listener": at("::1")},
    "LuaJIT's own": lua("local a = 5LL goto away ::away:: function envoy_on_request(handle) end"),
}


def read(document):
    return json_format.ParseDict(document, registry.message_class("envoy.config.bootstrap.v3.Bootstrap")())


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_named_is_refused_by_envoy(case):
    parts, expected = REFUSED[case]
    document = bootstrap(**parts)
    [found] = list(violations(read(document)))
    assert expected in found
    assert found in list(wrong_values(read(document)))
    with pytest.raises(AssertionError, match="refuses"):
        validate(document)


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_not_named_is_taken_by_envoy(case):
    document = bootstrap(**TAKEN[case])
    assert list(violations(read(document))) == []
    validate(document)


def test_a_piece_is_asked_for_what_it_says_only():
    message = registry.message_class("envoy.config.cluster.v3.Cluster")
    piece = json_format.ParseDict({"connect_timeout": "0s"}, message())
    assert list(wrong_values(piece)) == ["connect_timeout must be greater than 0:00:00"]
    assert list(wrong_values(message())) == []


def test_a_script_is_read_and_not_run():
    assert script_fault("error('ran')") == ""
    assert script_fault("\x1bLJ\x02nonsense") == "", "compiled code is not looked at"
    assert "syntax levels" in script_fault("x=" + "{" * 500 + "}" * 500)
