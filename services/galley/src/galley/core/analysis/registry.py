"""Every analyzer, by Istio's names."""

from galley.core.analysis.analyzer import Analyzer
from galley.core.analysis.analyzers import (
    annotations,
    authentication,
    authorization,
    clusters,
    conditions,
    deployments,
    deprecation,
    destination_rules,
    envoy_filters,
    external_control_plane,
    gateway_conflicts,
    gateway_secrets,
    gateways,
    injection,
    injection_images,
    kubernetes_gateways,
    port_names,
    schema,
    service_entries,
    sidecars,
    telemetry,
    virtual_service_claims,
    virtual_service_destinations,
    virtual_service_gateways,
    virtual_service_mesh_hosts,
    webhooks,
)

BETWEEN_OBJECTS = (
    Analyzer(
        "annotations.K8sAnalyzer", "Istio annotations that are misplaced or invalid", annotations.check_annotations
    ),
    Analyzer(
        "annotations.AlphaAnalyzer",
        "Annotations of alpha features",
        annotations.check_maturity,
        "maturity.AlphaAnalyzer",
    ),
    Analyzer("authn.BlockedCIDRsAnalyzer", "Where JWKS may be fetched from", authentication.check_blocked_ranges),
    Analyzer(
        "auth.AuthorizationPoliciesAnalyzer",
        "Authorization policies without workloads",
        authorization.check_policies,
        "authz.AuthorizationPoliciesAnalyzer",
    ),
    Analyzer("conditions.ConditionAnalyzer", "Negative conditions in the status", conditions.check_conditions),
    Analyzer(
        "deployment.MultiServiceAnalyzer",
        "Services that disagree about the ports of a deployment",
        deployments.check_services,
        "deployment.ServiceAssociationAnalyzer",
    ),
    Analyzer(
        "applicationUID.Analyzer",
        "Applications with the user id of the proxy",
        deployments.check_application_uid,
        "deployment.ApplicationUIDAnalyzer",
    ),
    Analyzer(
        "destinationrule.CaCertificateAnalyzer",
        "TLS to servers that nobody verifies",
        destination_rules.check_certificates,
    ),
    Analyzer(
        "destinationrule.SubsetSelectPodAnalyzer",
        "Subsets that select no workload",
        destination_rules.check_subsets,
        "destinationrule.PodNotSelectedAnalyzer",
    ),
    Analyzer(
        "deprecation.DeprecationAnalyzer",
        "Deprecated kinds and fields",
        deprecation.check_deprecated,
        "deprecation.FieldAnalyzer",
    ),
    Analyzer("envoyfilter.EnvoyPatchAnalyzer", "Operations of EnvoyFilters", envoy_filters.check_patches),
    Analyzer(
        "externalcontrolplane.ExternalControlPlaneAnalyzer",
        "The address of an external control plane",
        external_control_plane.check_webhook_urls,
    ),
    Analyzer("gateway.IngressGatewayPortAnalyzer", "Ports of gateways and of their services", gateways.check_ports),
    Analyzer("gateway.CertificateAnalyzer", "Certificates that gateways share", gateways.check_certificates),
    Analyzer("gateway.SecretAnalyzer", "Credentials of gateways", gateway_secrets.check_secrets),
    Analyzer(
        "gateway.ConflictingGatewayAnalyzer", "Hosts that several gateways claim", gateway_conflicts.check_conflicts
    ),
    Analyzer("injection.Analyzer", "Sidecar injection", injection.check_injection),
    Analyzer("injection.ImageAnalyzer", "Images of proxies", injection_images.check_images),
    Analyzer("injection.ImageAutoAnalyzer", "`image: auto` without injection", injection_images.check_auto_images),
    Analyzer(
        "k8sgateway.SelectorAnalyzer",
        "Selectors without effect on Kubernetes Gateways",
        kubernetes_gateways.check_selectors,
    ),
    Analyzer("k8sgateway.CRDVersionAnalyzer", "Versions of the Gateway API", kubernetes_gateways.check_definitions),
    Analyzer(
        "meshnetworks.MeshNetworksAnalyzer",
        "Registries in MeshNetworks",
        clusters.check_networks,
        "multicluster.MeshNetworksAnalyzer",
    ),
    Analyzer(
        "services.MultiClusterServiceAnalyzer",
        "Services that differ between clusters",
        clusters.check_services,
        "multicluster.ServiceAnalyzer",
    ),
    Analyzer("service.PortNameAnalyzer", "Names of service ports", port_names.check_port_names),
    Analyzer("sidecar.SelectorAnalyzer", "Which pods Sidecars select", sidecars.check_sidecars),
    Analyzer(
        "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
        "Hosts that several VirtualServices of the mesh have",
        virtual_service_mesh_hosts.check_mesh_hosts,
    ),
    Analyzer(
        "virtualservice.DestinationHostAnalyzer",
        "Hosts and ports of destinations",
        virtual_service_destinations.check_hosts,
    ),
    Analyzer(
        "virtualservice.DestinationRuleAnalyzer",
        "Subsets of destinations",
        virtual_service_destinations.check_subsets,
    ),
    Analyzer("virtualservice.GatewayAnalyzer", "Gateways of VirtualServices", virtual_service_gateways.check_gateways),
    Analyzer(
        "virtualservice.JWTClaimRouteAnalyzer",
        "Routing by claims that nobody verifies",
        virtual_service_claims.check_claim_routes,
    ),
    Analyzer(
        "serviceentry.Analyzer",
        "Addresses of ServiceEntries",
        service_entries.check_addresses,
        "serviceentry.ProtocolAddressesAnalyzer",
    ),
    Analyzer(
        "serviceentry.ConflictingServiceEntryProtocolAnalyzer",
        "Protocols that contradict each other",
        service_entries.check_protocols,
    ),
    Analyzer("webhook.Analyzer", "Injection webhooks", webhooks.check_webhooks),
    Analyzer("telemetry.ProviderAnalyzer", "Providers of Telemetry", telemetry.check_providers),
    Analyzer("telemetry.SelectorAnalyzer", "Which pods Telemetry selects", telemetry.check_selectors),
    Analyzer("telemetry.DefaultSelectorAnalyzer", "Telemetry of whole namespaces", telemetry.check_defaults),
    Analyzer("telemetry.LightstepAnalyzer", "Deprecated tracing providers", telemetry.check_lightstep),
)

ABOUT_ONE_OBJECT = tuple(
    Analyzer(
        f"schema.ValidationAnalyzer.{info.kind}",
        f"Validation of {info.kind}",
        schema.check_kind(info),
        f"schema.CollectionValidationAnalyzer.{info.kind}",
    )
    for info in schema.schema_kinds()
)

ANALYZERS = (*BETWEEN_OBJECTS, *ABOUT_ONE_OBJECT)
"""Every analyzer; those that look at one object alone come last."""


def named(names: tuple[str, ...]) -> tuple[Analyzer, ...]:
    """The analyzers of these names; all of them when none is named, or none of the names is known."""
    chosen = tuple(analyzer for analyzer in ANALYZERS if any(analyzer.is_called(name) for name in names))
    return chosen or ANALYZERS
