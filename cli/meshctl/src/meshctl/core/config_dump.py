"""Tables of what one Envoy runs, read from its admin's `/config_dump?include_eds` and `/clusters?format=json`. Pure.

Columns are istioctl's. Rows come out sorted, so that two dumps of the same config print the same table.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from meshctl.core.dump_filters import cluster_parts

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Column names and rows."""

Dump = Mapping[str, Any]


def sections(dump: Dump) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parts of a dump by the short name of their message: `ClustersConfigDump`, `RoutesConfigDump`, ..."""
    for part in dump.get("configs", ()):
        yield str(part.get("@type", "")).rpartition(".")[2], part


def bootstrap(dump: Dump) -> Mapping[str, Any]:
    """The bootstrap that this Envoy was started with."""
    return next((dict(part["bootstrap"]) for name, part in sections(dump) if name == "BootstrapConfigDump"), {})


def clusters(dump: Dump, *, static: bool = True) -> list[Mapping[str, Any]]:
    """Every cluster, static ones (if they are wanted) first."""
    keys = (*(("static_clusters",) if static else ()), "dynamic_active_clusters")
    return list(_items(dump, "ClustersConfigDump", keys, "cluster"))


def listeners(dump: Dump, *, static: bool = True) -> list[Mapping[str, Any]]:
    """Every active listener."""
    found = list(_items(dump, "ListenersConfigDump", ("static_listeners",) if static else (), "listener"))
    for name, part in sections(dump):
        if name == "ListenersConfigDump":
            active = (item.get("active_state", {}) for item in part.get("dynamic_listeners", ()))
            found += [state["listener"] for state in active if "listener" in state]
    return found


def routes(dump: Dump, *, static: bool = True) -> list[Mapping[str, Any]]:
    """Every route configuration; those inside of listeners are static."""
    keys = (*(("static_route_configs",) if static else ()), "dynamic_route_configs")
    return list(_items(dump, "RoutesConfigDump", keys, "route_config"))


def secrets(dump: Dump) -> list[Mapping[str, Any]]:
    """Every secret: `name` and `secret` (private keys are redacted by Envoy itself)."""
    keys = ("static_secrets", "dynamic_active_secrets", "dynamic_warming_secrets")
    found: list[Mapping[str, Any]] = []
    for name, part in sections(dump):
        if name == "SecretsConfigDump":
            found += [dict(item) | {"state": key} for key in keys for item in part.get(key, ())]
    return found


def extensions(dump: Dump) -> list[Mapping[str, Any]]:
    """Every filter that is configured by ECDS."""
    return list(_items(dump, "EcdsConfigDump", ("ecds_filters",), "ecds_filter"))


def extension_table(found: Iterable[Mapping[str, Any]]) -> Table:
    """`proxy-config ecds`."""
    rows = [
        (str(item.get("name", "")), str(item.get("typed_config", {}).get("@type", "")).rpartition("/")[2])
        for item in found
    ]
    return ("ECDS NAME", "TYPE"), sorted(rows)


def hosts_of_dump(dump: Dump) -> dict[str, Any]:
    """The endpoints of a dump with `include_eds`, in the shape of `/clusters?format=json`."""
    keys = ("static_endpoint_configs", "dynamic_endpoint_configs")
    statuses = []
    for item in _items(dump, "EndpointsConfigDump", keys, "endpoint_config"):
        hosts = [
            {
                "address": host.get("endpoint", {}).get("address", {}),
                "health_status": {"eds_health_status": host.get("health_status", "HEALTHY")},
                "locality": group.get("locality", {}),
            }
            for group in item.get("endpoints", ())
            for host in group.get("lb_endpoints", ())
        ]
        statuses.append({"name": item.get("cluster_name", ""), "host_statuses": hosts})
    return {"cluster_statuses": statuses}


def _items(dump: Dump, section: str, keys: Sequence[str], field: str) -> Iterator[Mapping[str, Any]]:
    for name, part in sections(dump):
        if name == section:
            yield from (item[field] for key in keys for item in part.get(key, ()) if field in item)


def _metadata_config(resource: Mapping[str, Any]) -> str:
    """The config object that made a resource: `name.namespace`, from Istio's filter metadata."""
    path = resource.get("metadata", {}).get("filter_metadata", {}).get("istio", {}).get("config", "")
    parts = str(path).split("/")
    return f"{parts[-1]}.{parts[-3]}" if len(parts) >= 3 else ""


def cluster_table(found: Iterable[Mapping[str, Any]]) -> Table:
    """`proxy-config clusters`."""
    rows = []
    for cluster in found:
        name = str(cluster.get("name", ""))
        kind = str(cluster.get("type", cluster.get("cluster_type", {}).get("name", "STATIC")))
        parsed = cluster_parts(name)
        if parsed is None:
            rows.append((name, "-", "-", "-", kind, ""))
            continue
        rule = _metadata_config(cluster)
        direction = str(parsed.direction)
        rows.append((parsed.host, str(parsed.port), parsed.subset or "-", direction, kind, rule))
    return ("SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"), sorted(rows)


def listener_table(found: Iterable[Mapping[str, Any]]) -> Table:
    """`proxy-config listeners`: a row for each filter chain."""
    rows = []
    for listener in found:
        address = listener.get("address", {}).get("socket_address", {})
        where = str(address.get("address", "")), str(address.get("port_value", ""))
        chains = [*listener.get("filter_chains", ()), *_present(listener.get("default_filter_chain"))]
        rows += [
            (*where, _chain_match(item.get("filter_chain_match", {})), _chain_destination(item)) for item in chains
        ]
        if not chains:
            rows.append((*where, "ALL", "-"))
    return ("ADDRESSES", "PORT", "MATCH", "DESTINATION"), sorted(rows)


def _present(value: Any) -> list[Any]:
    return [value] if value else []


def _chain_match(match: Mapping[str, Any]) -> str:
    parts = []
    if match.get("transport_protocol"):
        parts.append(f"Trans: {match['transport_protocol']}")
    if match.get("application_protocols"):
        parts.append(f"App: {','.join(match['application_protocols'])}")
    if match.get("server_names"):
        parts.append(f"SNI: {','.join(match['server_names'])}")
    ranges = [f"{item['address_prefix']}/{item.get('prefix_len', 0)}" for item in match.get("prefix_ranges", ())]
    if ranges or match.get("destination_port"):
        parts.append(f"Addr: {','.join(ranges) or '*'}:{match.get('destination_port', '*')}")
    return "; ".join(parts) or "ALL"


def _chain_destination(chain: Mapping[str, Any]) -> str:
    for network_filter in chain.get("filters", ()):
        config = network_filter.get("typed_config", {})
        if "rds" in config:
            return f"Route: {config['rds'].get('route_config_name', '')}"
        if "route_config" in config:
            return f"Inline Route: {config['route_config'].get('name', '')}"
        if "cluster" in config:
            return f"Cluster: {config['cluster']}"
        if "weighted_clusters" in config:
            names = [item["name"] for item in config["weighted_clusters"].get("clusters", ())]
            return f"Cluster: {','.join(names)}"
    return "-"


def route_table(found: Iterable[Mapping[str, Any]]) -> Table:
    """`proxy-config routes`: a row for each route of each virtual host."""
    rows: list[tuple[str, ...]] = []
    for config in found:
        for host in config.get("virtual_hosts", ()):
            domains = [str(domain) for domain in host.get("domains", ())]
            shown = domains[0] if domains else ""
            shown += f" + {len(domains) - 1} more..." if len(domains) > 1 else ""
            for route in host.get("routes", ()):
                name, source = str(config.get("name", "")), _metadata_config(route)
                rows.append((name, str(host.get("name", "")), shown, _route_match(route.get("match", {})), source))
    return ("NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"), rows


def _route_match(match: Mapping[str, Any]) -> str:
    path = "/*"
    if "prefix" in match:
        path = f"{match['prefix']}*"
    elif "path_separated_prefix" in match:
        path = f"{match['path_separated_prefix']}/*"
    elif "path" in match:
        path = str(match["path"])
    elif "safe_regex" in match:
        path = f"regex {match['safe_regex'].get('regex', '')}"
    elif "connect_matcher" in match:
        path = "CONNECT"
    headers = [str(header.get("name", "")) for header in match.get("headers", ())]
    return f"{path} [{', '.join(headers)}]" if headers else path


def endpoint_table(hosts: Mapping[str, Any]) -> Table:
    """`proxy-config endpoints`, from `/clusters?format=json`."""
    rows = []
    for cluster in hosts.get("cluster_statuses", ()):
        for host in cluster.get("host_statuses", ()):
            address = host.get("address", {})
            socket_address = address.get("socket_address", {})
            shown = f"{socket_address.get('address', '')}:{socket_address.get('port_value', '')}"
            shown = shown if socket_address else f"unix://{address.get('pipe', {}).get('path', '')}"
            health = host.get("health_status", {})
            status = str(health.get("eds_health_status", "HEALTHY"))
            outlier = "FAILED" if health.get("failed_outlier_check") else "OK"
            rows.append((shown, status, outlier, str(cluster.get("name", ""))))
    return ("ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"), sorted(rows)


def secret_table(found: Iterable[Mapping[str, Any]], now: datetime) -> Table:
    """`proxy-config secret`; `now` decides whether a certificate is valid."""
    columns = ("RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE")
    rows = []
    for item in found:
        secret = item.get("secret", {})
        kind = "Cert Chain" if "tls_certificate" in secret else "CA"
        source = secret.get("tls_certificate", {}).get("certificate_chain")
        source = source or secret.get("validation_context", {}).get("trusted_ca", {})
        status = "WARMING" if item["state"] == "dynamic_warming_secrets" else "ACTIVE"
        for certificate in _certificates(source or {})[:1]:
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            valid = "true" if begin <= now <= end else "false"
            serial = f"{certificate.serial_number:x}"
            rows.append(
                (str(item.get("name", "")), kind, status, valid, serial, _time(end), _time(begin), _domain(certificate))
            )
    return (*columns, "TRUST DOMAIN"), sorted(rows)


def _certificates(source: Mapping[str, Any]) -> list[x509.Certificate]:
    if "inline_bytes" in source:
        pem = base64.b64decode(source["inline_bytes"])
    else:
        pem = str(source.get("inline_string", "")).encode()
    return x509.load_pem_x509_certificates(pem) if b"BEGIN CERTIFICATE" in pem else []


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _domain(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return next((uri.removeprefix("spiffe://").split("/")[0] for uri in uris if uri.startswith("spiffe://")), "")
