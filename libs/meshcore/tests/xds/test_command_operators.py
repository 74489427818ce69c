"""The command operators that Envoy has: asked of a real one."""

import pytest
from meshcore.testing.envoy import validate
from meshcore.xds.command_operators import NEEDS_ARGUMENT, OPERATORS, format_fault, operator_fault

TYPES = "type.googleapis.com/envoy.extensions"
ARGUMENTS = {
    "CEL": "(request.path)",
    "COALESCE": '({"operators": ["PROTOCOL"]})',
    "COMMON_DURATION": "(DS_RX_BEG:DS_TX_END:ms)",
    "METADATA": "(ROUTE:a)",
    "UPSTREAM_METADATA": '(["a", "b"])',
    "XFCC_VALUE": "(uri)",
}


def bootstrap(*values):
    """A route that sets a header to each of the values."""
    headers = [{"header": {"key": f"x-{number}", "value": value}} for number, value in enumerate(values)]
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": headers}
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "route_config": {"name": "r", "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}}],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
    chain = {"filters": [{"name": "manager", "typed_config": manager}]}
    return {"static_resources": {"listeners": [{"name": "l", "address": address, "filter_chains": [chain]}]}}


def test_envoy_has_every_operator_of_the_list():
    values = [f"%{name}{ARGUMENTS.get(name, '(a)') if name in NEEDS_ARGUMENT else ''}%" for name in sorted(OPERATORS)]
    assert [fault for value in values if (fault := format_fault(value) or operator_fault(value))] == []
    validate(bootstrap(*values))


@pytest.mark.parametrize("name", sorted(NEEDS_ARGUMENT))
def test_an_operator_that_needs_an_argument_is_refused_without(name):
    assert operator_fault(f"a %{name}%") == f"the command operator {name} needs an argument"
    with pytest.raises(AssertionError, match="refuses"):
        validate(bootstrap(f"%{name}%"))


@pytest.mark.parametrize("value", ["%NO_SUCH_OPERATOR%", "%PROTOCOL% %REQ_WITHOUT_QUERY(X)%"])
def test_an_operator_that_envoy_does_not_have_is_named(value):
    assert operator_fault(value).startswith("Envoy has no command operator ")
    with pytest.raises(AssertionError, match="refuses"):
        validate(bootstrap(value))


@pytest.mark.parametrize(
    "value",
    [
        *("%REQ(a b)%", "%RESP(x?a b)%", "%FILTER_STATE(a:NOPE)%", "%METADATA(NOPE:a)%", "%COMMON_DURATION(a)%"),
        *("%COMMON_DURATION(DS_RX_BEG:DS_TX_END:h)%", "%COALESCE(a)%", "%CEL(nope(%)%", "%CEL(request.path +)%"),
        *("%CEL(nope(1))%", "%CEL([1].exists(x, x > 0))%", "%CEL(request.path.matches('['))%"),
    ],
)
def test_an_argument_that_envoy_does_not_take_is_named(value):
    assert operator_fault(value)
    with pytest.raises(AssertionError, match="refuses"):
        validate(bootstrap(value))


def test_arguments_that_envoy_takes():
    kinds = ("DYNAMIC", "CLUSTER", "ROUTE", "UPSTREAM_HOST", "LISTENER", "LISTENER_FILTER_CHAIN", "VIRTUAL_HOST")
    values = [f"%METADATA({kind}:a:b)%" for kind in kinds]
    values += ["%REQ(:path?x-a):10%", "%FILTER_STATE(a:TYPED):9%", "%COMMON_DURATION(DS_RX_BEG:a:ns)%", "%REQ(x_y)%"]
    values += ["%CEL(re.extract(request.path, '/(.*)', 'a'))%", "%CEL(has(request.headers.a) ? 'a' : 'b')%"]
    values += ["%CEL('a'.startsWith('b') || request.time.getHours() > 1)%", "%FILTER_STATE(a)%"]
    assert [fault for value in values if (fault := operator_fault(value))] == []
    validate(bootstrap(*values))


def test_text_and_percent_signs_are_no_operators():
    assert operator_fault("100%% sure, NO_SUCH") == ""
