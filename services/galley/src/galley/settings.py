"""Galley's settings: `GALLEY_` and the field's name in capitals, read once at start."""

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import ClassVar

from meshcore.runtime import GoDuration, ServiceSettings
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict


class GalleySettings(ServiceSettings):
    """What Galley needs besides what every service reads."""

    model_config = SettingsConfigDict(env_prefix="GALLEY_")
    service: ClassVar[str] = "galley"

    port: int = 8081
    """Port of the config API."""
    store_url: str | None = None
    """SQLAlchemy URL of the store; unset: SQLite in the state directory."""
    domain: str = "cluster.local"
    """DNS domain that short host names are completed with."""
    kek: SecretStr | None = None
    """The key-encryption key of confidential objects (base64 of 32 bytes); unset: the file `kek` of the identity
    directory, and without that no Secret is taken."""
    config_dir: Path | None = None
    """Directory of YAML that is taken as config; unset: none."""
    kubeconfig: Path | None = None
    """Kubeconfig of a Kubernetes API whose Istio objects are taken as config; unset: none."""
    token_issuer: str | None = None
    """`iss` of workload tokens, an https URL at which this API is reached; unset: the config API's own address."""

    webhook_port: int = 15017
    """HTTPS port of `/validate`, `/admitpilot` and `/admitmixer`."""
    requests_per_second: float = Field(default=200, gt=0)
    """Sustained rate of admission requests; what is over it is answered 429."""
    requests_burst: float = Field(default=400, ge=1)
    """Admission requests that may come at once."""
    request_timeout: GoDuration = Field(default="10s", validate_default=True)
    """How long the body of an admission request may take to arrive."""
    mcp_port: int = 9901
    """mTLS port of MCP's ResourceSource."""
    mcp_allow: str = ""
    """SPIFFE identities (with commas) that may take config over MCP; empty: Pilot's in the root namespace."""
    mcp_xds_port: int = 9902
    """Port of MCP over xDS, server TLS."""
    mcp_xds_allow: str = ""
    """CIDRs (with commas) from which istiods may take config over MCP over xDS; empty: the port stays closed. Also
    `--mcp-xds-allow CIDR`, once or more often."""
    pilot_url: str = ""
    """Pilot's admin API, which a dry run asks what a change would send to whom; empty: it is not asked."""
    sink_address: str = ""
    """`host:port` of an MCP ResourceSink that Galley dials. Also `--sink-address`."""

    @property
    def pilot_identity(self) -> str:
        """Who is given config."""
        return f"spiffe://{self.trust_domain}/ns/{self.root_namespace}/sa/pilot"

    @property
    def secret_identities(self) -> str:
        """Who is given Secrets, by reference: Pilot, and Citadel for proxies that ask it instead."""
        return f"{self.pilot_identity},spiffe://{self.trust_domain}/ns/{self.root_namespace}/sa/citadel"

    @property
    def mcp_identities(self) -> str:
        """The access list of MCP."""
        return self.mcp_allow or self.pilot_identity

    @property
    def key_encryption_key(self) -> str | None:
        """The key, from the environment or from its file."""
        if self.kek is not None:
            return self.kek.get_secret_value()
        file = None if self.identity_dir is None else self.identity_dir / "kek"
        return file.read_text() if file is not None and file.exists() else None

    @property
    def database_url(self) -> str:
        """Where the store is."""
        if self.store_url is not None:
            return self.store_url
        return f"sqlite:///{(self.state_dir or Path.cwd()).absolute() / 'galley.db'}"

    @property
    def issuer(self) -> str:
        """`iss` of workload tokens."""
        return self.token_issuer or f"https://{self.host}:{self.port}"


OPTIONS = {"--mcp-xds-allow": "GALLEY_MCP_XDS_ALLOW", "--sink-address": "GALLEY_SINK_ADDRESS"}
"""Settings that may be given on the command line too."""


def without_options(arguments: Sequence[str], environment: MutableMapping[str, str]) -> list[str]:
    """Move `--option VALUE` and `--option=VALUE` into the environment, several values with commas; what is left."""
    given: dict[str, list[str]] = {}
    left: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in OPTIONS:
            given.setdefault(OPTIONS[name], []).append(value if equals else next(rest, ""))
        else:
            left.append(argument)
    environment.update({name: ",".join(values) for name, values in given.items()})
    return left
