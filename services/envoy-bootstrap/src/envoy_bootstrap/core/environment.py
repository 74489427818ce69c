"""The agent's settings, from Istio's environment variables and the words of its command line.

Pure: the environment is an argument. Every missing or wrong variable is named, all at once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from meshcore.errors import ErrorCode, MeshError
from meshcore.fetch_guard import Network
from meshcore.identity import SpiffeId
from meshcore.xds.names import FILES_APART_METADATA

from envoy_bootstrap.core.addresses import HostPort
from envoy_bootstrap.core.app_settings import application
from envoy_bootstrap.core.dns_settings import DnsSettings, dns_settings
from envoy_bootstrap.core.fetch_bounds import NO_NETWORKS, blocked_networks
from envoy_bootstrap.core.file_secrets import FOLDERS
from envoy_bootstrap.core.node import NodeInputs, annotations_of, build_node
from envoy_bootstrap.core.probes import Application
from envoy_bootstrap.core.proxy_config import ProxyConfig, parse_proxy_config, parse_time_span
from envoy_bootstrap.core.stats_config import StatsInclusion, annotated
from envoy_bootstrap.core.variables import Variables

_T = TypeVar("_T")
MAX_CONNECTIONS = 2147483647
"""No limit, in Istio's words."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The words after `proxy`, as Istio's injection template writes them."""

    proxy_type: str = "sidecar"
    domain: str = ""
    proxy_log_level: str = "warning"
    proxy_component_log_level: str = ""
    concurrency: int | None = None
    outlier_log: str = ""
    takes_over: bool = False


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """All that the agent is told. Durations are timedeltas; paths are as given."""

    identity: SpiffeId
    node: Mapping[str, Any]
    proxy: ProxyConfig
    arguments: Arguments
    instance_ip: str
    shares_machine: bool
    pilot: HostPort
    pilot_sans: tuple[str, ...]
    citadel: HostPort
    root_file: str
    token_file: str
    state_dir: str
    state_key_file: str
    envoy_path: str
    cluster_id: str
    secret_ttl: timedelta
    grace_ratio: float
    grace_jitter: float
    rsa_key_size: int | None
    cpu_limit: int
    minimum_drain: timedelta
    exit_on_zero_connections: bool
    health_port: int
    prometheus_port: int
    audit_queue: int
    """Access records that wait for Citadel at most."""
    file_folders: tuple[str, ...]
    """Below which files lie that config may have the agent serve."""
    app: Application
    has_envoy: bool = True
    asks_for_bootstrap: bool = False
    """Whether Envoy waits for what Pilot has to say of its bootstrap."""
    grpc_bootstrap: str = ""
    """Where the bootstrap of the application's gRPC library is written; empty: nowhere."""
    identity_socket: str = "socket"
    """The name of the socket on which somebody else may give the certificates."""
    foreign_sds: str = ""
    """That socket's path, once it has been found; empty: there is none."""
    pilot_root_file: str = ""
    """Roots that Pilot may be of beside the mesh's own; empty: none."""
    file_mounted: bool = False
    """Whether the certificate comes as files, even if they are not there yet."""
    output_certs: str = ""
    """The folder that has the certificate as files; empty: none."""
    stats: StatsInclusion = field(default_factory=StatsInclusion)
    """With what the pod's annotations say."""
    max_connections: int = MAX_CONNECTIONS
    load_stats: Mapping[str, Any] = field(default_factory=dict)
    custom_bootstrap: str = ""
    """File with a bootstrap that takes the place of ours, and one that is merged into it; empty: none."""
    bootstrap_override: str = ""
    host_ip: str = ""
    compliance_policy: str = ""
    dns: DnsSettings = field(default_factory=DnsSettings)
    blocked_for_wasm: tuple[Network, ...] = ()
    """Where no Wasm module is fetched from, beyond where none ever is."""

    @property
    def listen_host(self) -> str:
        """Where the agent and Envoy's static listeners bind: the workload's own address where others share it."""
        if self.shares_machine:
            return self.instance_ip
        return "::" if ":" in self.instance_ip else "0.0.0.0"

    @property
    def status(self) -> HostPort:
        """Where Envoy finds the agent's status server."""
        local = "::1" if ":" in self.instance_ip else "127.0.0.1"
        return HostPort(self.instance_ip if self.shares_machine else local, self.proxy.status_port)

    @property
    def takes_over(self) -> bool:
        """Whether an agent that runs already in the same state directory is followed."""
        return self.arguments.takes_over

    @property
    def is_sidecar(self) -> bool:
        """Whether an application lives beside the proxy, and not only its callers."""
        return self.arguments.proxy_type == "sidecar"

    @property
    def lookup_family(self) -> str:
        """Envoy's word for the families of addresses that this workload can reach."""
        families = {":" in address for address in self.node["metadata"]["INSTANCE_IPS"].split(",")}
        return {1: "V6_ONLY" if True in families else "V4_ONLY"}.get(len(families), "ALL")

    @property
    def concurrency(self) -> int:
        """Envoy's worker threads, 0 for one a core: the command line's word, ProxyConfig's, or the limit of CPUs."""
        if (self.arguments.concurrency or 0) > 0:
            return self.arguments.concurrency or 0
        return self.cpu_limit if self.proxy.concurrency is None else self.proxy.concurrency


@dataclass(frozen=True, slots=True)
class PodInfo:
    """What the downward API's files say."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def parse_environment(environment: Mapping[str, str], arguments: Arguments, pod: PodInfo = PodInfo()) -> AgentConfig:
    """Read everything; INVALID with one violation per variable that is missing or wrong."""
    reader = Variables(environment)
    host_ip = environment.get("HOST_IP", "")
    proxy = reader.parsed("PROXY_CONFIG", lambda text: parse_proxy_config(text, host_ip), ProxyConfig())
    pod_name = reader.required("POD_NAME", "the name of this workload instance")
    namespace = reader.required("POD_NAMESPACE", "the namespace of this workload")
    service_account = reader.required("SERVICE_ACCOUNT", "the service account whose identity this workload has")
    ips = reader.addresses("INSTANCE_IPS", "INSTANCE_IP")
    trust_domain = environment.get("TRUST_DOMAIN") or "cluster.local"
    root_namespace = environment.get("ROOT_NAMESPACE") or "istio-system"
    pilot_text = next(
        (environment[name] for name in ("PILOT_ADDR", "ISTIOD_ADDR", "DISCOVERY_ADDRESS") if environment.get(name)),
        proxy.discovery_address,
    )
    pilot = reader.checked("PILOT_ADDR", pilot_text, HostPort.parse)
    citadel = reader.checked(
        "CA_ADDR", environment.get("CA_ADDR") or f"citadel.{root_namespace}.svc:8060", HostPort.parse
    )
    identity = None
    if namespace and service_account:
        identity = reader.checked(
            "SERVICE_ACCOUNT", service_account, lambda account: SpiffeId(trust_domain, namespace, account)
        )
    sans = tuple(filter(None, environment.get("PILOT_SAN", "").split(","))) or (
        f"spiffe://{trust_domain}/ns/{root_namespace}/sa/pilot",
    )
    cpus = reader.number("ISTIO_CPU_LIMIT", 1)
    health_port = reader.number("ENVOY_STATUS_PORT", 15021)
    prometheus_port = reader.number("ENVOY_PROMETHEUS_PORT", 15090)
    node = None
    if ips:
        node = reader.checked(
            "ISTIO_META",
            NodeInputs(
                proxy_type=arguments.proxy_type,
                pod_name=pod_name,
                namespace=namespace,
                service_account=service_account,
                instance_ips=ips,
                dns_domain=_dns_domain(arguments.domain, namespace),
                environment=environment,
                proxy_config=proxy.raw,
                proxy_metadata=proxy.proxy_metadata,
                service_cluster=proxy.service_cluster,
                pilot_sans=sans,
                health_port=health_port,
                prometheus_port=prometheus_port,
                outlier_log=arguments.outlier_log,
                pod_labels=pod.labels,
                pod_annotations=pod.annotations,
            ),
            build_node,
        )
    ratio = reader.fraction("SECRET_GRACE_PERIOD_RATIO", 0.5)
    jitter = reader.fraction("SECRET_GRACE_PERIOD_RATIO_JITTER", 0.01)
    ttl = reader.parsed("SECRET_TTL", parse_time_span, timedelta(hours=24))
    drain = reader.parsed("MINIMUM_DRAIN_DURATION", parse_time_span, timedelta(seconds=5))
    exit_on_zero = reader.flag("EXIT_ON_ZERO_ACTIVE_CONNECTIONS")
    no_envoy = reader.flag("DISABLE_ENVOY")
    audit_queue = reader.number("MESHCORE_AUDIT_QUEUE", 4096)
    file_folders = reader.folders("MESHCORE_FILE_FOLDERS", FOLDERS)
    asks_for_bootstrap = reader.flag("BOOTSTRAP_XDS_AGENT")
    file_mounted = reader.flag("FILE_MOUNTED_CERTS")
    identity_socket = reader.file_name("WORKLOAD_IDENTITY_SOCKET_FILE", "socket")
    instance_ip = ips[0] if ips else "127.0.0.1"
    app = reader.checked(
        "PROXY_CONFIG.readinessProbe",
        proxy.readiness_probe,
        lambda probe: application(environment, reader.parsed, probe, instance_ip),
    )
    rsa = reader.number("WORKLOAD_RSA_KEY_SIZE", 2048, maximum=8192) if _wants_rsa(environment) else None
    if rsa is not None and rsa < 2048:
        reader.wrong("WORKLOAD_RSA_KEY_SIZE", f"{rsa} bits are too few", "at least 2048")
    max_connections = proxy.connection_limit or reader.number(
        "ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS",
        _limit(proxy.runtime_values.get("overload.global_downstream_max_connections", "")),
        maximum=MAX_CONNECTIONS,
    )
    no_load_stats: Mapping[str, Any] = {}
    load_stats = reader.parsed("ISTIO_META_LOAD_STATS_CONFIG_JSON", _json_mapping, no_load_stats)
    captures = str((node or {"metadata": {}})["metadata"].get("DNS_CAPTURE", "")).lower() == "true"
    shares_machine = (node or {"metadata": {}})["metadata"].get("INTERCEPTION_MODE") == "NONE"
    dns = reader.checked(
        "DNS_PROXY_ADDR", captures, lambda on: dns_settings(environment, on, ips or ("127.0.0.1",), shares_machine)
    )
    blocked_for_wasm = reader.parsed("BLOCKED_CIDRS_IN_WASM_FETCH", blocked_networks, NO_NETWORKS)
    if reader.violations or identity is None or node is None or pilot is None or citadel is None or app is None:
        raise MeshError(ErrorCode.INVALID, "the agent's environment is not complete", reader.violations)
    metadata = node["metadata"]
    state_dir = environment.get("STATE_DIR") or proxy.config_path
    grpc_bootstrap = environment.get("GRPC_XDS_BOOTSTRAP", "")
    return AgentConfig(
        identity=identity,
        node=node,
        proxy=proxy,
        arguments=arguments,
        instance_ip=ips[0],
        shares_machine=shares_machine,
        pilot=pilot,
        pilot_sans=sans,
        citadel=citadel,
        root_file=environment.get("CA_ROOT_CERT") or "./var/run/secrets/istio/root-cert.pem",
        token_file=environment.get("TOKEN_PATH") or "./var/run/secrets/tokens/istio-token",
        state_dir=state_dir,
        state_key_file=environment.get("STATE_KEY_FILE", ""),
        envoy_path=environment.get("ENVOY_PATH", ""),
        cluster_id=metadata.get("CLUSTER_ID", ""),
        secret_ttl=ttl,
        grace_ratio=ratio,
        grace_jitter=jitter,
        rsa_key_size=rsa,
        cpu_limit=cpus,
        minimum_drain=drain,
        exit_on_zero_connections=exit_on_zero,
        health_port=health_port,
        prometheus_port=prometheus_port,
        audit_queue=audit_queue,
        file_folders=file_folders,
        app=app,
        has_envoy=not no_envoy,
        asks_for_bootstrap=asks_for_bootstrap,
        grpc_bootstrap=grpc_bootstrap,
        pilot_root_file=environment.get("XDS_ROOT_CA", ""),
        file_mounted=file_mounted,
        identity_socket=identity_socket,
        output_certs=environment.get("OUTPUT_CERTS") or (f"{state_dir}/certs" if grpc_bootstrap else ""),
        stats=annotated(proxy.stats, annotations_of(environment, pod.annotations), tuple(dict.fromkeys(ips))),
        max_connections=max_connections,
        load_stats=load_stats,
        custom_bootstrap=environment.get("ISTIO_BOOTSTRAP") or proxy.custom_bootstrap,
        bootstrap_override=environment.get("ISTIO_BOOTSTRAP_OVERRIDE", ""),
        host_ip=host_ip,
        dns=dns or DnsSettings(),
        blocked_for_wasm=blocked_for_wasm,
        compliance_policy=environment.get("COMPLIANCE_POLICY", ""),
    )


def _limit(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < MAX_CONNECTIONS else MAX_CONNECTIONS


def _json_mapping(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise MeshError(ErrorCode.INVALID, "is not a JSON object")
    return value


def with_foreign_sds(config: AgentConfig, path: str) -> AgentConfig:
    """The same with a socket of somebody else, which Pilot is told of: files are then on the agent's own socket."""
    if not path:
        return config
    metadata = {**config.node["metadata"], FILES_APART_METADATA: "true"}
    return replace(config, foreign_sds=path, node={**config.node, "metadata": metadata})


def _dns_domain(domain: str, namespace: str) -> str:
    """`--domain ns.svc.cluster.local` as Istio's template passes it; only its last part is kept."""
    if domain:
        return domain.removeprefix(f"{namespace}.svc.")
    return "cluster.local"


def _wants_rsa(environment: Mapping[str, str]) -> bool:
    return environment.get("ECC_SIGNATURE_ALGORITHM", "") != "ECDSA" and bool(environment.get("WORKLOAD_RSA_KEY_SIZE"))
