"""Buffers, timeouts and limits of a proxy's connections (mesh/v1alpha1 ProxyConfig.ConnectionSettings)."""

from enum import StrEnum

from meshcore.model.base import AnyDuration, Bool, Int32, MeshModel


class ConnectionProfile(StrEnum):
    """Defaults for a sidecar, or for a proxy at the edge."""

    SIDECAR = "SIDECAR"
    EDGE = "EDGE"


class UnderscoreAction(StrEnum):
    """What becomes of headers with an underscore in their name."""

    HEADERS_WITH_UNDERSCORES_UNSPECIFIED = "HEADERS_WITH_UNDERSCORES_UNSPECIFIED"
    HEADERS_WITH_UNDERSCORES_ALLOW = "HEADERS_WITH_UNDERSCORES_ALLOW"
    HEADERS_WITH_UNDERSCORES_REJECT_REQUEST = "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST"
    HEADERS_WITH_UNDERSCORES_DROP_HEADER = "HEADERS_WITH_UNDERSCORES_DROP_HEADER"


class EscapedSlashAction(StrEnum):
    """What becomes of paths with escaped slashes."""

    PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED = "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED"
    KEEP_UNCHANGED = "KEEP_UNCHANGED"
    REJECT_REQUEST = "REJECT_REQUEST"
    UNESCAPE_AND_REDIRECT = "UNESCAPE_AND_REDIRECT"
    UNESCAPE_AND_FORWARD = "UNESCAPE_AND_FORWARD"


class ConnectionSettings(MeshModel):
    """What is unset follows from the profile."""

    profile: ConnectionProfile = ConnectionProfile.SIDECAR
    listener_per_connection_buffer_limit_bytes: Int32 | None = None
    cluster_per_connection_buffer_limit_bytes: Int32 | None = None
    http_idle_timeout: AnyDuration | None = None
    http_max_connection_duration: AnyDuration | None = None
    http_drain_timeout: AnyDuration | None = None
    http_request_timeout: AnyDuration | None = None
    http_request_headers_timeout: AnyDuration | None = None
    http_stream_idle_timeout: AnyDuration | None = None
    http_max_stream_duration: AnyDuration | None = None
    http_max_concurrent_streams: Int32 | None = None
    http2_initial_stream_window_size: Int32 | None = None
    http2_initial_connection_window_size: Int32 | None = None
    http_headers_with_underscores_action: UnderscoreAction = UnderscoreAction.HEADERS_WITH_UNDERSCORES_UNSPECIFIED
    http_merge_slashes: Bool | None = None
    http_path_with_escaped_slashes_action: EscapedSlashAction = EscapedSlashAction.PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED
    listener_connection_limit: Int32 | None = None
    global_downstream_connection_limit: Int32 | None = None
