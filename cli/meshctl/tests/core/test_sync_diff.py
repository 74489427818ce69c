from typing import Any

from meshctl.core.sync_diff import render_comparison

TYPE = "type.googleapis.com/envoy.admin.v3."


def dump(*clusters: dict[str, Any], routes: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {
        "configs": [
            {
                "@type": f"{TYPE}ClustersConfigDump",
                "static_clusters": [{"cluster": {"name": "xds-grpc"}}],
                "dynamic_active_clusters": [{"cluster": one} for one in clusters],
            },
            {"@type": f"{TYPE}RoutesConfigDump", "dynamic_route_configs": [{"route_config": one} for one in routes]},
        ]
    }


def cluster(name: str, revision: str = "1", **more: Any) -> dict[str, Any]:
    origin = {"filter_metadata": {"meshcore": {"config": [f"Service/shop/a@{revision}"]}}}
    return {"@type": "cluster", "name": name, "metadata": origin, **more}


def test_the_same_but_for_revisions_and_static_parts_matches() -> None:
    lines = list(render_comparison(dump(cluster("a", "1")), dump(cluster("a", "9"))))
    assert lines == ["Clusters Match", "Listeners Match", "Routes Match"]


def test_what_differs_is_told_resource_by_resource_and_field_by_field() -> None:
    sent = dump(cluster("a", connect_timeout="1s"), cluster("new"), routes=({"name": "80"},))
    lines = list(render_comparison(sent, dump(cluster("a", connect_timeout="2s"), cluster("old"))))
    assert lines == [
        "Clusters do not match",
        "  ~ a",
        '      connect_timeout: sent "1s", Envoy has "2s"',
        "  - new was sent, and Envoy does not have it",
        "  + old is in Envoy, and would not be sent",
        "Listeners Match",
        "Routes do not match",
        "  - 80 was sent, and Envoy does not have it",
    ]
