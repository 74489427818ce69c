"""Citadel's settings: `CITADEL_` and the field's name in capitals, or Istio's own name where it has one."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

from meshcore.authentication.settings import Audiences, Networks, ProofSettings, split_list, told_as
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import GoDuration
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from citadel.core.sealing import parse_keks


class ExternalCa(StrEnum):
    """Istio's word for a certificate authority outside."""

    NONE = ""
    KUBERNETES = "ISTIOD_RA_KUBERNETES_API"


class CitadelSettings(ProofSettings):
    """What Citadel needs besides what every service reads, and what proves callers (`ProofSettings`)."""

    model_config = SettingsConfigDict(env_prefix="CITADEL_")
    service: ClassVar[str] = "citadel"

    port: int = 8060
    """Port of the certificate service."""
    database_url: str | None = None
    """SQLAlchemy URL; unset: SQLite in the identity directory, where `init` made it."""
    kek: SecretStr | None = None
    """The key-encryption key itself (base64 of 32 bytes), former ones behind it; unset: the file `kek` of the identity
    directory, which is read again when it is needed."""
    token_audiences: Audiences = Field(("istio-ca",), validation_alias=told_as("CITADEL", "token_audiences"))
    cluster_id: str = Field("Kubernetes", validation_alias=told_as("CITADEL", "cluster_id"))
    trusted_gateway_cidr: Networks = Field((), validation_alias=told_as("CITADEL", "trusted_gateway_cidr"))
    keep_namespaces: bool = False
    """Whether ConfigMap `istio-ca-root-cert` is kept in every namespace of the API of `kubeconfig`."""
    key_and_cert_secrets: bool = False
    """Whether Secrets `istio.<service account>` are kept in the namespaces that are labelled for it, as Istio once had
    it; needs `keep_namespaces`."""
    default_workload_cert_ttl: GoDuration = Field(
        timedelta(hours=24), validation_alias=AliasChoices("DEFAULT_WORKLOAD_CERT_TTL", "CITADEL_WORKLOAD_CERT_TTL")
    )
    max_workload_cert_ttl: GoDuration = Field(
        timedelta(hours=2160), validation_alias=AliasChoices("MAX_WORKLOAD_CERT_TTL", "CITADEL_MAX_WORKLOAD_CERT_TTL")
    )
    ledger_retention: GoDuration = timedelta(days=30)
    """How long the ledger keeps a row after its certificate has expired."""
    audit_retention: GoDuration = timedelta(days=7)
    """How long access records are kept."""
    audit_most_rows: int = Field(1_000_000, ge=1)
    """How many access records are kept at most; the oldest go first. A row has about 1.2 KB with its indices."""
    audit_rate: float = Field(200.0, gt=0)
    """Access records a second that one identity may report; ten times as many at once."""
    plugged_in_dir: Path | None = Field(
        None, validation_alias=AliasChoices("CITADEL_PLUGGED_IN_DIR", "ROOT_CA_DIR", "plugged_in_dir")
    )
    """Folder of a plugged-in authority; unset, or without any of its files: the root in the database."""
    multiroot_mesh: bool = Field(
        True, validation_alias=AliasChoices("CITADEL_MULTIROOT_MESH", "ISTIO_MULTIROOT_MESH", "multiroot_mesh")
    )
    """Whether a reload of the plugged-in authority may add or take away roots."""
    external_ca: ExternalCa = Field(ExternalCa.NONE, validation_alias=told_as("CITADEL", "external_ca"))
    """Who signs workloads' certificates in place of Citadel."""
    k8s_signer: str = Field("", validation_alias=told_as("CITADEL", "k8s_signer"))
    """The signer of the Kubernetes API of `kubeconfig` for workloads that name none."""
    cert_signer_domain: str = Field("", validation_alias=told_as("CITADEL", "cert_signer_domain"))
    """What precedes the name of a signer that a workload asks for; unset: it may ask for none."""
    external_ca_root: Path = Path("./etc/external-ca-cert/root-cert.pem")
    """Roots of `k8s_signer`, where MeshConfig names none."""
    signer_timeout: GoDuration = timedelta(seconds=60)
    """How long a signer may take."""
    root_ttl: GoDuration = Field(
        timedelta(hours=87600), validation_alias=AliasChoices("CITADEL_SELF_SIGNED_CA_CERT_TTL", "root_ttl")
    )
    """Life of a renewed root, and of the next one."""
    root_check_interval: GoDuration = Field(
        timedelta(hours=1),
        validation_alias=AliasChoices("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", "root_check_interval"),
    )
    """How often is looked whether the root is to be renewed; 0: never."""
    root_grace_percentile: int = Field(
        20,
        ge=0,
        le=100,
        validation_alias=AliasChoices("CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE", "root_grace_percentile"),
    )
    """Last part of the root's life, in percent, in which it is renewed."""
    root_check_jitter: bool = Field(
        True, validation_alias=AliasChoices("CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR", "root_check_jitter")
    )
    root_file: Path | None = None
    """Public file that is kept at the trust bundle in force, for those that do not know the mesh yet."""
    requests_per_second: float = Field(50.0, ge=0)
    """Certificates that one identity, with all its replicas, may ask for on average; 0: as many as it likes."""
    requests_burst: int = Field(200, ge=1)
    """Certificates that one identity may ask for at once."""
    galley_address: str | None = None
    """`host:port` of Galley's mTLS gRPC port, for Secrets of gateways; unset: no Secret is served."""
    secret_readers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)] = ()
    """`namespace/service-account` of gateways and proxies without an agent that may have Secrets of their namespace."""
    mesh_config_map: str = "istio"
    """ConfigMap of the root namespace that holds MeshConfig."""

    @model_validator(mode="after")
    def _signers_can_be_asked(self) -> "CitadelSettings":
        if self.external_ca is ExternalCa.KUBERNETES:
            if self.kubeconfig is None:
                raise ValueError("EXTERNAL_CA needs CITADEL_KUBECONFIG: the Kubernetes API whose signers are asked")
            if not (self.k8s_signer or self.cert_signer_domain):
                raise ValueError("EXTERNAL_CA needs K8S_SIGNER or CERT_SIGNER_DOMAIN: the signers that are asked")
        return self

    @property
    def identity(self) -> Path:
        """The identity directory; FAILED_PRECONDITION without one, since Citadel cannot even start its port."""
        if self.identity_dir is None:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "CITADEL_IDENTITY_DIR names no directory; run citadel init")
        return self.identity_dir

    def key_encryption_keys(self) -> tuple[bytes, ...]:
        """The keys that open stored keys; the first one seals."""
        if self.kek is not None:
            return parse_keks(self.kek.get_secret_value())
        return parse_keks((self.identity / "kek").read_text())

    @property
    def database(self) -> str:
        """Where the ledger and the root are."""
        return self.database_url or f"sqlite+aiosqlite:///{self.identity.absolute() / 'citadel.db'}"
