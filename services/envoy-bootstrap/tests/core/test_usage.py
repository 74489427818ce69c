import pytest
from envoy_bootstrap.core.usage import Usage, usage


def test_only_the_workloads_own_traffic_counts():
    stats = {
        "listener.127.1.0.3_9080.downstream_cx_active": 2,
        "listener.127.1.0.3_9080.worker_0.downstream_cx_active": 2,
        "listener.0.0.0.0_15006.downstream_cx_active": 1,
        "listener.0.0.0.0_15021.downstream_cx_active": 7,
        "listener.0.0.0.0_15090.downstream_cx_active": 7,
        "listener.admin.downstream_cx_active": 7,
        "http.inbound_127.1.0.3_9080;.downstream_cx_active": 2,
        "http.inbound_127.1.0.3_9080;.downstream_rq_active": 1,
        "http.agent.downstream_rq_active": 7,
        "http.stats.downstream_cx_active": 7,
        "http.admin.downstream_rq_active": 7,
    }
    assert usage(stats) == Usage(connections=3, raw=1, requests=1)


@pytest.mark.parametrize(
    ("now", "known", "unknown"),
    [
        (Usage(0, 0, 0), True, True),
        (Usage(2, 0, 0), True, False),
        (Usage(2, 0, 1), False, False),
        (Usage(2, 1, 0), False, False),
    ],
)
def test_idle_connections_are_waited_for_only_while_callers_may_not_know(now, known, unknown):
    assert now.is_over(callers_know=True) is known
    assert now.is_over(callers_know=False) is unknown
