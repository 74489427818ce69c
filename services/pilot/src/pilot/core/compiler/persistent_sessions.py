"""Services whose clients stay with the endpoint that they first got (Istio's labels of services). Pure.

Envoy's answer names the endpoint in a cookie or a header, and the client brings it back. Stronger than hashing: other
endpoints may come and go, and one that ends still gets its own clients.
"""

from functools import cache
from typing import Any

from envoy.config.core.v3 import extension_pb2, health_check_pb2
from envoy.extensions.filters.http.stateful_session.v3 import stateful_session_pb2
from envoy.extensions.http.stateful_session.cookie.v3 import cookie_pb2 as cookie_state_pb2
from envoy.extensions.http.stateful_session.header.v3 import header_pb2
from envoy.type.http.v3 import cookie_pb2

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.filter_order import HttpFilter, HttpSlot
from pilot.core.compiler.messages import any_of
from pilot.core.registry import Service

FILTER = "envoy.filters.http.stateful_session"
_USABLE = (
    health_check_pb2.HEALTHY,
    health_check_pb2.DRAINING,
    health_check_pb2.UNKNOWN,
    health_check_pb2.DEGRADED,
)


def has_sessions(work: Compilation) -> bool:
    """Whether requests to any service in scope need the filter."""
    services = work.scope.services
    return work.memo(("sessions", Same(services)), lambda: any(service.session for service in services))


@cache
def session_filter() -> tuple[HttpSlot, HttpFilter]:
    """Does nothing by itself: routes say whose sessions it keeps."""
    config = any_of(stateful_session_pb2.StatefulSession())
    return HttpSlot.STATEFUL_SESSION, HttpFilter(name=FILTER, typed_config=config)


def keep_session(route: Any, service: Service) -> None:
    """On the route to one service."""
    session = service.session
    if session is None:
        return
    state: Any = header_pb2.HeaderBasedSessionState(name=session.name)
    if session.path:  # without a life time: it ends with the client's session
        state = cookie_state_pb2.CookieBasedSessionState(cookie=cookie_pb2.Cookie(name=session.name, path=session.path))
    kind = "cookie" if session.path else "header"
    made = stateful_session_pb2.StatefulSessionPerRoute()
    made.stateful_session.session_state.CopyFrom(
        extension_pb2.TypedExtensionConfig(name=f"envoy.http.stateful_session.{kind}", typed_config=any_of(state))
    )
    route.typed_per_filter_config[FILTER].CopyFrom(any_of(made))


def let_sessions_choose(cluster: Any, service: Service) -> None:
    """The endpoint of a session is used while it is not failing, even when it ends."""
    if service.session is not None:
        cluster.common_lb_config.override_host_status.statuses.extend(_USABLE)
