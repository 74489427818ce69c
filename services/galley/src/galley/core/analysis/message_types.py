"""Every message code of Istio's analysis that is in use, with its level, its name and our words for it.

Code, level and name are Istio's (numbers that are missing are retired and never used again). The codes that only a
check of a Kubernetes cluster before an installation gives (permissions, versions, listening sockets, upgrades) are
listed so that a suppression of them is known to be one; no analyzer gives them.
"""

from types import MappingProxyType

from galley.core.analysis.message import Level, MessageType

_ERROR, _WARNING, _INFO = Level.ERROR, Level.WARNING, Level.INFO

INTERNAL_ERROR = MessageType("IST0001", _ERROR, "InternalError", "Internal error: {}")
DEPRECATED = MessageType("IST0002", _WARNING, "Deprecated", "Deprecated: {}")
NOT_FOUND = MessageType("IST0101", _ERROR, "ReferencedResourceNotFound", 'Referenced {} not found: "{}"')
NAMESPACE_NOT_INJECTED = MessageType(
    "IST0102",
    _INFO,
    "NamespaceNotInjected",
    "Sidecars are not injected into this namespace. Label it istio-injection=enabled to have them "
    "('kubectl label namespace {} istio-injection=enabled'), or istio-injection=disabled to say that none are wanted.",
)
POD_MISSING_PROXY = MessageType(
    "IST0103", _WARNING, "PodMissingProxy", "Pod {} has no Istio proxy. Restart or redeploy its workload to get one."
)
SCHEMA_ERROR = MessageType("IST0106", _ERROR, "SchemaValidationError", "Schema validation error: {}")
MISPLACED_ANNOTATION = MessageType(
    "IST0107", _WARNING, "MisplacedAnnotation", "Misplaced annotation: {} has a meaning only on {}"
)
UNKNOWN_ANNOTATION = MessageType("IST0108", _WARNING, "UnknownAnnotation", "Unknown annotation: {}")
CONFLICTING_MESH_HOSTS = MessageType(
    "IST0109",
    _ERROR,
    "ConflictingMeshGatewayVirtualServiceHosts",
    "The VirtualServices {} of the mesh gateway have the same host {}: which one rules is undefined. "
    "Merge them into one.",
)
CONFLICTING_SIDECARS = MessageType(
    "IST0110",
    _ERROR,
    "ConflictingSidecarWorkloadSelectors",
    'The Sidecars {} of namespace "{}" select the same pod "{}": which one rules is undefined.',
)
SIDECARS_WITHOUT_SELECTOR = MessageType(
    "IST0111",
    _ERROR,
    "MultipleSidecarsWithoutWorkloadSelectors",
    'The Sidecars {} of namespace "{}" have no workload selector: which one rules is undefined.',
)
PORT_REQUIRED = MessageType(
    "IST0112",
    _ERROR,
    "VirtualServiceDestinationPortSelectorRequired",
    'This VirtualService routes to service "{}", which has several ports {}: the destination must say which.',
)
SERVICES_WITH_DIFFERENT_PROTOCOLS = MessageType(
    "IST0116",
    _WARNING,
    "DeploymentAssociatedToMultipleServices",
    "Deployment {} is behind several services that use port {} with different protocols: {}",
)
PORT_NAME = MessageType(
    "IST0118",
    _INFO,
    "PortNameIsNotUnderNamingConvention",
    "Port name {} (port: {}, targetPort: {}) says no protocol that Istio knows.",
)
SEVERAL_INJECTION_LABELS = MessageType(
    "IST0123",
    _WARNING,
    "NamespaceMultipleInjectionLabels",
    "The namespace has injection labels of several types {}: what is done is undefined. Keep one of them.",
)
INVALID_ANNOTATION = MessageType("IST0125", _WARNING, "InvalidAnnotation", "Invalid annotation {}: {}")
UNKNOWN_REGISTRY = MessageType(
    "IST0126", _ERROR, "UnknownMeshNetworksServiceRegistry", "Unknown service registry {} in network {}"
)
NO_MATCHING_WORKLOADS = MessageType(
    "IST0127", _WARNING, "NoMatchingWorkloadsFound", "No workload has the labels that this resource selects: {}"
)
UNVERIFIED_SERVER = MessageType(
    "IST0128",
    _WARNING,
    "NoServerCertificateVerificationDestinationLevel",
    "DestinationRule {} of namespace {} sets TLS mode {} without caCertificates to verify the server of host: {}",
)
UNVERIFIED_SERVER_AT_PORT = MessageType(
    "IST0129",
    _WARNING,
    "NoServerCertificateVerificationPortLevel",
    "DestinationRule {} of namespace {} sets TLS mode {} without caCertificates to verify the server of host: {} "
    "at port {}",
)
UNREACHABLE_RULE = MessageType(
    "IST0130", _WARNING, "VirtualServiceUnreachableRule", "VirtualService rule {} is never used ({})."
)
INEFFECTIVE_MATCH = MessageType(
    "IST0131", _INFO, "VirtualServiceIneffectiveMatch", "VirtualService rule {} match {} is never used ({})."
)
HOST_NOT_IN_GATEWAY = MessageType(
    "IST0132",
    _WARNING,
    "VirtualServiceHostNotFoundInGateway",
    "No host of {} that VirtualService {} defines is one of Gateway {}.",
)
SCHEMA_WARNING = MessageType("IST0133", _WARNING, "SchemaWarning", "Schema validation warning: {}")
ADDRESSES_REQUIRED = MessageType(
    "IST0134", _WARNING, "ServiceEntryAddressesRequired", "A ServiceEntry needs addresses for this protocol."
)
DEPRECATED_ANNOTATION = MessageType(
    "IST0135",
    _INFO,
    "DeprecatedAnnotation",
    'Annotation "{}" is deprecated{} and may stop working in a later version of Istio.',
)
ALPHA_ANNOTATION = MessageType(
    "IST0136", _INFO, "AlphaAnnotation", 'Annotation "{}" belongs to an alpha feature and may not be fully supported.'
)
CONFLICTING_TARGET_PORTS = MessageType(
    "IST0137",
    _WARNING,
    "DeploymentConflictingPorts",
    'Deployment {} is behind several services {} with targetPort "{}" but different ports: {}.',
)
DUPLICATE_CERTIFICATE = MessageType(
    "IST0138",
    _WARNING,
    "GatewayDuplicateCertificate",
    "The gateways {} have the same certificate: clients that reuse an HTTP/2 connection may get 404.",
)
INVALID_WEBHOOK = MessageType("IST0139", _ERROR, "InvalidWebhook", "{}")
INGRESS_RULES_NOT_USED = MessageType(
    "IST0140",
    _WARNING,
    "IngressRouteRulesNotAffected",
    "The subsets of virtual service {} have no effect on what comes through the gateway of virtual service {}",
)
INVALID_APPLICATION_UID = MessageType(
    "IST0144", _WARNING, "InvalidApplicationUID", "User ID (UID) 1337 is that of the sidecar proxy."
)
CONFLICTING_GATEWAYS = MessageType(
    "IST0145", _ERROR, "ConflictingGateways", "Conflict with gateways {} (workload selector {}, port {}, hosts {})."
)
IMAGE_AUTO_WARNING = MessageType(
    "IST0146",
    _WARNING,
    "ImageAutoWithoutInjectionWarning",
    "{} {} has `image: auto` but no Istio injection webhook selects it.",
)
IMAGE_AUTO_ERROR = MessageType(
    "IST0147",
    _ERROR,
    "ImageAutoWithoutInjectionError",
    "{} {} has `image: auto` but no Istio injection webhook selects it.",
)
INJECTED_BY_DEFAULT = MessageType(
    "IST0148",
    _INFO,
    "NamespaceInjectionEnabledByDefault",
    "has sidecars injected because Istio is installed with enableNamespacesByDefault true.",
)
CLAIM_ROUTE_WITHOUT_AUTHENTICATION = MessageType(
    "IST0149",
    _ERROR,
    "JwtClaimBasedRoutingWithoutRequestAuthN",
    "The virtual service routes by a JWT claim (key: {0}), but no request authentication applies to pod ({2}) of "
    "gateway ({1}): without one the token is not verified and has no claims to route by.",
)
EXTERNAL_NAME_PORT = MessageType(
    "IST0150",
    _WARNING,
    "ExternalNameServiceTypeInvalidPortName",
    "The port name of this ExternalName service is not valid: the proxy may hold back traffic of ports named tcp, "
    "and traffic of TCP ports that nothing matches.",
)
RELATIVE_OPERATION = MessageType(
    "IST0151",
    _WARNING,
    "EnvoyFilterUsesRelativeOperation",
    "This EnvoyFilter has a relative patch operation and no priority, so it may not be applied. "
    "Use INSERT_FIRST or ADD, or set a priority.",
)
REPLACE_MISUSED = MessageType(
    "IST0152",
    _ERROR,
    "EnvoyFilterUsesReplaceOperationIncorrectly",
    "The REPLACE operation is valid only for HTTP_FILTER and NETWORK_FILTER.",
)
ADD_MISUSED = MessageType(
    "IST0153",
    _ERROR,
    "EnvoyFilterUsesAddOperationIncorrectly",
    "The ADD operation is ignored where applyTo is ROUTE_CONFIGURATION or HTTP_ROUTE.",
)
REMOVE_MISUSED = MessageType(
    "IST0154",
    _ERROR,
    "EnvoyFilterUsesRemoveOperationIncorrectly",
    "The REMOVE operation is ignored where applyTo is ROUTE_CONFIGURATION or HTTP_ROUTE.",
)
RELATIVE_OPERATION_WITH_VERSION = MessageType(
    "IST0155",
    _WARNING,
    "EnvoyFilterUsesRelativeOperationWithProxyVersion",
    "This EnvoyFilter has a relative patch operation (INSERT_BEFORE, INSERT_AFTER, REPLACE, MERGE, DELETE) and a "
    "proxyVersion but no priority, so it may not be applied during an upgrade. Use INSERT_FIRST or ADD, or set a "
    "priority.",
)
INVALID_TELEMETRY_PROVIDER = MessageType(
    "IST0157",
    _WARNING,
    "InvalidTelemetryProvider",
    'Telemetry {} of namespace "{}" has no providers and is ignored.',
)
PROXY_IMAGE_MISMATCH = MessageType(
    "IST0158",
    _WARNING,
    "PodsIstioProxyImageMismatchInNamespace",
    "The Istio proxies of pods of this namespace have another image than the injection configuration says "
    "(pod names: {}). Often so after an upgrade of the control plane: redeploy the pods.",
)
CONFLICTING_TELEMETRIES = MessageType(
    "IST0159",
    _ERROR,
    "ConflictingTelemetryWorkloadSelectors",
    'The Telemetries {} of namespace "{}" select the same pod "{}": which one rules is undefined.',
)
TELEMETRIES_WITHOUT_SELECTOR = MessageType(
    "IST0160",
    _ERROR,
    "MultipleTelemetriesWithoutWorkloadSelectors",
    'The Telemetries {} of namespace "{}" have no workload selector: which one rules is undefined.',
)
INVALID_CREDENTIAL = MessageType(
    "IST0161",
    _ERROR,
    "InvalidGatewayCredential",
    "The credential that Gateway {} in namespace {} refers to is not valid: traffic may not work as expected.",
)
GATEWAY_PORT_NOT_ON_SERVICE = MessageType(
    "IST0162",
    _WARNING,
    "GatewayPortNotDefinedOnService",
    "The gateway listens on a target port (port {}) that no Service of its workloads has (pod selector {}): it "
    "cannot be reached through the gateway's Service.",
)
INVALID_EXTERNAL_CONTROL_PLANE = MessageType(
    "IST0163",
    _WARNING,
    "InvalidExternalControlPlaneConfig",
    "The hostname ({}) by which webhook ({}) reaches the ingress gateway of the external control plane {}. "
    "Traffic may not flow.",
)
CONTROL_PLANE_ADDRESS_IS_IP = MessageType(
    "IST0164",
    _INFO,
    "ExternalControlPlaneAddressIsNotAHostname",
    "The address ({}) by which webhook ({}) reaches the ingress gateway of the external control plane is an IP "
    "address, which is not advised in production.",
)
INTERNAL_GATEWAY = MessageType(
    "IST0165",
    _WARNING,
    "ReferencedInternalGateway",
    "VirtualService {} refers to an internal Gateway that was generated: {}.",
)
INEFFECTIVE_SELECTOR = MessageType(
    "IST0166",
    _WARNING,
    "IneffectiveSelector",
    "A selector has no effect on Kubernetes Gateway {}. Use targetRefs instead.",
)
INEFFECTIVE_POLICY = MessageType("IST0167", _WARNING, "IneffectivePolicy", "The policy has no effect: {}.")
INCONSISTENT_SERVICE = MessageType(
    "IST0170",
    _WARNING,
    "MultiClusterInconsistentService",
    'Service {} of namespace "{}" differs between the clusters {}, so what it does is undefined: {}.',
)
NEGATIVE_CONDITION = MessageType(
    "IST0171", _WARNING, "NegativeConditionStatus", "A condition is negative: type={}, reason={}, message={}."
)
SUBSET_SELECTS_NOTHING = MessageType(
    "IST0173",
    _ERROR,
    "DestinationRuleSubsetNotSelectPods",
    "Subset {} of the DestinationRule selects no pods: requests may get 503 UH (NoHealthyUpstream).",
)
UNKNOWN_RULE_HOST = MessageType(
    "IST0174",
    _WARNING,
    "UnknownDestinationRuleHost",
    "Host {} of the DestinationRule is that of no service in the mesh.",
)
JWKS_FETCH_UNRESTRICTED = MessageType(
    "IST0175",
    _WARNING,
    "JwksUriFetchUnrestricted",
    "BLOCKED_CIDRS_IN_JWKS_URIS is not set although there are {} RequestAuthentication resource(s) ({}). "
    "Set it so that JWKS URIs are fetched from trusted networks only.",
)
OLD_GATEWAY_API = MessageType(
    "IST0176",
    _WARNING,
    "GatewayAPICRDVersionBelowMinimum",
    'Gateway API CRD "{}" is of version "{}", but Istio needs at least "{}" and ignores resources of this kind. '
    "Upgrade the Gateway API CRDs.",
)
CONFLICTING_ENTRY_PROTOCOLS = MessageType(
    "IST0177",
    _WARNING,
    "ConflictingServiceEntryProtocol",
    'Several ServiceEntries ({}) define host "{}" and port {} with different protocols ({}).',
)
CLUSTER_CHECKS = frozenset(
    {"IST0141", "IST0142", "IST0143", "IST0156", "IST0168", "IST0169", "IST0172"},
)
"""Codes of the checks before an installation."""

MESSAGE_TYPES = MappingProxyType(
    {found.code: found for found in tuple(globals().values()) if isinstance(found, MessageType)}
)
"""Every type, by its code."""


def is_known(code: str) -> bool:
    """Whether there is such a code."""
    return code in MESSAGE_TYPES or code in CLUSTER_CHECKS
