import pytest
from pilot.core.compiler.telemetry.peer_words import document_with_peers, expression_with_peers, format_with_peers

CALLER, CALLED = (
    "metadata.filter_metadata['meshcore.peer']",
    "xds.upstream_host_metadata.filter_metadata['meshcore.peer']",
)


@pytest.mark.parametrize(
    ("istio", "stock"),
    [
        ("downstream_peer.workload", f"{CALLER}.workload"),
        ("filter_state.upstream_peer.service + 'x'", f"{CALLED}.canonical_service + 'x'"),
        ("upstream_peer.labels['app'].value == \"a\"", f'{CALLED}.app == "a"'),
        ("node.metadata['CLUSTER_ID']", "xds.node.metadata['CLUSTER_ID']"),
        ("xds.node.id", "xds.node.id"),
        ("request.headers['downstream_peer.app']", "request.headers['downstream_peer.app']"),
        ("upstream_peer.labels['tier'].value", "upstream_peer.labels['tier'].value"),
        ("upstream_peer.workloads", "upstream_peer.workloads"),
    ],
)
def test_expressions_find_the_other_side_where_stock_envoy_has_it(istio, stock):
    assert expression_with_peers(istio) == stock


def test_formats_do_too_wherever_they_are():
    assert format_with_peers("%FILTER_STATE(downstream_peer:FIELD:namespace)% %RESPONSE_CODE%") == (
        "%DYNAMIC_METADATA(meshcore.peer:namespace)% %RESPONSE_CODE%"
    )
    assert document_with_peers(
        {"a": ["%CEL(upstream_peer.app):9%", 1], "b": "%FILTER_STATE(upstream_peer:FIELD:app):7%"}
    ) == {
        "a": [f"%CEL({CALLED}.app):9%", 1],
        "b": "%UPSTREAM_METADATA(meshcore.peer:app):7%",
    }
