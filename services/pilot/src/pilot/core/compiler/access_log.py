"""Access logs as MeshConfig asks for them: text to a file, none by default. Pure."""

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from meshcore.model.mesh_config import MeshConfig

from pilot.core.compiler.messages import any_of

DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" '
    '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
"""The fields of Istio's default text log, in its order."""


def access_logs(mesh: MeshConfig) -> list[accesslog_pb2.AccessLog]:
    """None unless MeshConfig names a file."""
    if not mesh.access_log_file:
        return []
    text = mesh.access_log_format or DEFAULT_FORMAT
    config = file_pb2.FileAccessLog(
        path=mesh.access_log_file,
        log_format=substitution_format_string_pb2.SubstitutionFormatString(text_format_source={"inline_string": text}),
    )
    return [accesslog_pb2.AccessLog(name="envoy.access_loggers.file", typed_config=any_of(config))]
