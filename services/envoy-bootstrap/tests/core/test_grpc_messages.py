from envoy_bootstrap.core.grpc_messages import grpc_message_counts, node_names

NODE = {"metadata": {"NAMESPACE": "shop", "WORKLOAD_NAME": 'we"b', "LABELS": {"app": "web", "version": "v2"}}}
CALLED = "outbound|9090|{}|cart.books.svc.cluster.local"


def count(cluster: str, value: int, kind: str = "request") -> str:
    return f'envoy_cluster_grpc_{kind}_message_count{{cluster_name="{cluster}"}} {value}\n'


def test_subsets_of_a_service_are_one_series_with_the_names_of_both():
    text = count(CALLED.format(""), 1) + count(CALLED.format("v1"), 4) + "envoy_server_live 1\n"
    assert grpc_message_counts(text, node_names(NODE)) == (
        "# TYPE istio_request_messages_total counter\n"
        'istio_request_messages_total{reporter="source",request_protocol="grpc",source_workload="we\\"b",'
        'source_workload_namespace="shop",source_canonical_service="web",source_canonical_revision="v2",'
        'source_cluster="unknown",source_app="web",source_version="v2",'
        'destination_service="cart.books.svc.cluster.local",destination_service_name="cart",'
        'destination_service_namespace="books"} 5\n'
    )


def test_what_arrives_is_the_workloads_own_and_other_clusters_are_none_of_istios():
    text = count("inbound|9090||", 2, "response") + count("xds-grpc", 9) + count("PassthroughCluster", 9)
    found = grpc_message_counts(text, node_names(NODE))
    assert found.splitlines()[0] == "# TYPE istio_response_messages_total counter"
    assert found.splitlines()[1].startswith('istio_response_messages_total{reporter="destination",')
    assert found.endswith('destination_app="web",destination_version="v2"} 2\n')
    assert len(found.splitlines()) == 2
    assert grpc_message_counts("envoy_server_live 1\n", node_names(NODE)) == ""
