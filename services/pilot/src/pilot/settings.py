"""Pilot's settings; each from `PILOT_<NAME>`, the ones that Istio has under Istio's names."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar

from meshcore.authentication.settings import Audiences, Networks, ProofSettings, told_as
from meshcore.fetch_guard import Network, parse_networks
from meshcore.runtime.settings import GoDuration
from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from pilot.core.issuer_keys import KeyFetching


def _networks(value: str | tuple[Network, ...]) -> tuple[Network, ...]:
    return parse_networks(value) if isinstance(value, str) else value


class PilotSettings(ProofSettings):
    """What Pilot reads at start, besides what every service reads and what proves clients (`ProofSettings`)."""

    model_config = SettingsConfigDict(env_prefix="PILOT_")
    service: ClassVar[str] = "pilot"

    instance: str = "pilot"
    """Name of this instance among the replicas; unique."""
    grpc_port: int = 15012
    """ADS over mTLS; needs an identity directory."""
    plaintext_port: int = 15010
    """ADS without TLS, on a loopback address only; a negative number turns it off."""
    plaintext_host: str = "127.0.0.1"
    """Where the plaintext port listens when `host` is no loopback address."""
    serving_certificate: Path | None = Path("./var/run/secrets/istiod/tls")
    """Folder with a serving certificate (`tls.crt`, `tls.key`) for ADS; without any, Citadel's is served."""
    token_audiences: Audiences = Field(("istio-ca",), validation_alias=told_as("PILOT", "token_audiences"))
    cluster_id: str = Field("Kubernetes", validation_alias=told_as("PILOT", "cluster_id"))
    trusted_gateway_cidr: Networks = Field((), validation_alias=told_as("PILOT", "trusted_gateway_cidr"))
    auth_plaintext: bool = Field(
        default=False, validation_alias=AliasChoices("PILOT_AUTH_PLAINTEXT", "XDS_AUTH_PLAINTEXT", "auth_plaintext")
    )
    """Whether clients of the plaintext port must prove who they are, by token or trusted gateway; else nobody may."""
    debug_endpoint_auth: bool = Field(
        default=True,
        validation_alias=AliasChoices("PILOT_DEBUG_ENDPOINT_AUTH", "ENABLE_DEBUG_ENDPOINT_AUTH", "debug_endpoint_auth"),
    )
    """Whether debug pages over xDS show workloads their own namespace only; the root namespace always sees all."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share the ports; also `--workers N`."""
    worker: int = -1
    """Set by the parent process: the number of this worker."""
    control_socket: Path | None = None
    """Set by the parent process: where this worker is asked."""
    galley_address: str = ""
    """`host:port` of Galley's mTLS port, from which the Secrets that config refers to are taken; empty: none are."""
    debounce_after: GoDuration = timedelta(milliseconds=100)
    """How long it has to be quiet after a burst of config changes until they are pushed, but for `debounce_max`."""
    debounce_max: GoDuration = timedelta(seconds=10)
    enable_eds_debounce: bool = True
    """Whether changes of endpoints that follow each other are pushed once in `debounce_after`, else each at once."""
    push_throttle: int = Field(default=0, ge=0)
    """Concurrent pushes, as in Istio, and new streams (64 at most) that are served their first config at once; 0 sets
    no ceiling. Workers share it, at least one each."""
    max_requests_per_second: float = Field(default=0, ge=0)
    """New streams per second; 0 is as fast as the machine bears. Workers share it."""
    streams_per_identity: int = Field(default=20_000, ge=0)
    """Streams that a client may have in one process, and on the plaintext port an address; 0 sets no bound."""
    classes_per_identity: int = Field(default=500, ge=0)
    """Kinds of proxies, told apart by labels, version, locality, ports and the like, that a client may have in one
    process, and on the plaintext port an address; each is compiled and kept. 0 sets no bound."""
    first_config_timeout: GoDuration = timedelta(seconds=30)
    """A stream that has not taken its first complete config by then is ended."""
    stream_max_age: GoDuration = timedelta(minutes=30)
    """After which, +/- 20 %, a stream is ended so that the peer proves its identity again."""
    enable_workload_entry: bool = True
    """Whether workloads may register over their agent's stream."""
    registration_grace: GoDuration = timedelta(seconds=10)
    registration_stable_after: GoDuration = timedelta(seconds=30)
    registration_forgotten_after: GoDuration = timedelta(hours=1)
    """How long it stays marked in the bus that somebody is registered no longer."""
    heartbeat_interval: GoDuration = timedelta(seconds=2)
    galley_url: str = ""
    """Galley's config API, to report what proxies refuse and who has registered; empty reports nothing."""
    jwt_pub_key_refresh_interval: GoDuration = timedelta(minutes=20)
    """How often the keys of JWT issuers are fetched again."""
    jwt_enable_remote_jwks: Annotated[KeyFetching, BeforeValidator(KeyFetching.parse)] = KeyFetching.PILOT
    """Who fetches keys behind a `jwksUri`: `false` (Pilot), `hybrid` (Envoy from services of the mesh) or `true`."""
    blocked_jwks_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        default=(), validation_alias=AliasChoices("BLOCKED_CIDRS_IN_JWKS_URIS", "PILOT_BLOCKED_JWKS_NETWORKS")
    )
    """Networks, separated by commas, from which no keys are fetched; link-local and metadata addresses never are."""
    jwks_ca_file: Path | None = Path("/cacerts/extra.pem")
    """More certificates to trust when keys are fetched, where there is such a file."""
    status_interval: GoDuration = timedelta(seconds=5)
    """How often refusals are looked at; no object's status is written more often."""
    worker_silence: GoDuration = timedelta(seconds=30)
    """A worker that answers its parent nothing for as long is ended and started again; 0 never is."""
    query_deadline: GoDuration = timedelta(seconds=2)
    """How long other instances and workers may take to answer, beyond the wait that was asked for."""
