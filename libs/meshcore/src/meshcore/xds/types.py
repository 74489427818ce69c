"""Type URLs of the resources that Pilot serves, and the order in which one change is sent."""

_PREFIX = "type.googleapis.com/"

CLUSTER_TYPE = _PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT_TYPE = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER_TYPE = _PREFIX + "envoy.config.listener.v3.Listener"
ROUTE_TYPE = _PREFIX + "envoy.config.route.v3.RouteConfiguration"
SECRET_TYPE = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION_CONFIG_TYPE = _PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
NAME_TABLE_TYPE = _PREFIX + "istio.networking.nds.v1.NameTable"
BOOTSTRAP_TYPE = _PREFIX + "envoy.config.bootstrap.v3.Bootstrap"
HEALTH_TYPE = _PREFIX + "istio.v1.HealthInformation"

PUSH_ORDER = (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SECRET_TYPE,
    EXTENSION_CONFIG_TYPE,
    NAME_TABLE_TYPE,
)
"""Make before break (xDS protocol, "Eventual consistency considerations"): what is referred to goes first."""

WILDCARD_TYPES = frozenset({CLUSTER_TYPE, LISTENER_TYPE})
"""Types of which a client that names nothing wants everything."""

SHORT_NAMES = {
    CLUSTER_TYPE: "cds",
    ENDPOINT_TYPE: "eds",
    LISTENER_TYPE: "lds",
    ROUTE_TYPE: "rds",
    SECRET_TYPE: "sds",
    EXTENSION_CONFIG_TYPE: "ecds",
    NAME_TABLE_TYPE: "nds",
    BOOTSTRAP_TYPE: "bds",
}
"""The short names used by metrics and debug pages."""
