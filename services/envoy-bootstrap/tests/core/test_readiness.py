from envoy_bootstrap.core.metrics_merge import agent_names, istio_names, merge_metrics
from envoy_bootstrap.core.readiness import config_received, parse_stats, server_state


def test_clusters_and_listeners_must_both_have_been_accepted():
    accepted = {"cluster_manager.cds.update_success": 1}
    assert not config_received({}).ready
    assert not config_received(accepted).ready
    assert (
        "lds updates: 0 successful, 2 rejected"
        in config_received({**accepted, "listener_manager.lds.update_rejected": 2}).reason
    )
    assert config_received({**accepted, "listener_manager.lds.update_success": 1}).ready


def test_the_server_must_be_live_with_its_workers():
    assert not server_state({}).ready
    assert "PRE_INITIALIZING" in server_state({"server.state": 2}).reason
    assert server_state({"server.state": 0}).reason == "workers have not yet started"
    assert server_state({"server.state": 0, "listener_manager.workers_started": 1}).ready


def test_numbers_are_read_and_the_rest_is_left_out():
    text = "server.state: 0\nserver.version: 12\nhistogram: P0(nan,0)\nlistener.[::1]_80.downstream_cx_active: 3\n"
    assert parse_stats(text) == {
        "server.state": 0,
        "server.version": 12,
        "listener.[::1]_80.downstream_cx_active": 3,
    }


def test_metrics_are_merged_and_a_missing_source_leaves_the_others():
    agent = agent_names("# HELP process_open_fds Open files.\n# TYPE process_open_fds gauge\nprocess_open_fds 9.0\n"
                        "istio_agent_scrapes_total 1.0\n")  # fmt: skip
    envoy = istio_names('# TYPE envoy_istio_requests_total counter\nenvoy_istio_requests_total{a="envoy_istio_"} 1\n'
                        "envoy_server_live 1\n")  # fmt: skip
    assert merge_metrics([agent, "", envoy, "app_total 1\n# EOF\n"]).splitlines() == [
        "# HELP istio_agent_process_open_fds Open files.",
        "# TYPE istio_agent_process_open_fds gauge",
        "istio_agent_process_open_fds 9.0",
        "istio_agent_scrapes_total 1.0",
        "# TYPE istio_requests_total counter",
        'istio_requests_total{a="envoy_istio_"} 1',
        "envoy_server_live 1",
        "app_total 1",
    ]
