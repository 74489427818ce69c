"""Galley's settings: `GALLEY_` and the field's name in capitals, read once at start."""

from pathlib import Path
from typing import ClassVar

from meshcore.runtime import ServiceSettings
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
    token_issuer: str | None = None
    """`iss` of workload tokens, an https URL at which this API is reached; unset: the config API's own address."""

    @property
    def database_url(self) -> str:
        """Where the store is."""
        if self.store_url is not None:
            return self.store_url
        return f"sqlite+aiosqlite:///{(self.state_dir or Path.cwd()).absolute() / 'galley.db'}"

    @property
    def issuer(self) -> str:
        """`iss` of workload tokens."""
        return self.token_issuer or f"https://{self.host}:{self.port}"
