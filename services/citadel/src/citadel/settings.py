"""Citadel's settings: `CITADEL_` and the field's name in capitals, or Istio's own name where it has one."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar

from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import GoDuration, ServiceSettings
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class CitadelSettings(ServiceSettings):
    """What Citadel needs besides what every service reads."""

    model_config = SettingsConfigDict(env_prefix="CITADEL_")
    service: ClassVar[str] = "citadel"

    port: int = 8060
    """Port of the certificate service."""
    database_url: str | None = None
    """SQLAlchemy URL; unset: SQLite in the identity directory, where `init` made it."""
    kek: SecretStr | None = None
    """The key-encryption key itself (base64 of 32 bytes); unset: the file `kek` of the identity directory."""
    token_issuer: str | None = None
    """`iss` of workload tokens, an https URL below which OIDC discovery is found; unset: tokens prove nothing."""
    token_discovery_url: str | None = None
    """Where discovery is asked for when that is not the issuer itself."""
    token_jwks_url: str | None = None
    """Where the keys are, when discovery names a host other than its own."""
    token_file: Path | None = None
    """Bearer token that opens discovery; unset: `galley-token` of the identity directory, if it is there."""
    token_audiences: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        ("istio-ca",), validation_alias=AliasChoices("CITADEL_TOKEN_AUDIENCES", "TOKEN_AUDIENCES")
    )
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
    """How many access records are kept at most; the oldest go first. A row has about 0.6 KB with its indices."""
    audit_rate: float = Field(200.0, gt=0)
    """Access records a second that one identity may report; ten times as many at once."""
    mesh_config_map: str = "istio"
    """ConfigMap of the root namespace that holds MeshConfig."""

    @property
    def identity(self) -> Path:
        """The identity directory; FAILED_PRECONDITION without one, since Citadel cannot even start its port."""
        if self.identity_dir is None:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "CITADEL_IDENTITY_DIR names no directory; run citadel init")
        return self.identity_dir

    @property
    def database(self) -> str:
        """Where the ledger and the root are."""
        return self.database_url or f"sqlite+aiosqlite:///{self.identity.absolute() / 'citadel.db'}"
