"""Settings that every service has; each is read once, at start, from the environment.

A service subclasses `ServiceSettings` with its own `service` name and `env_prefix`. Every field has a usable default or
the start fails naming the field and its variable.
"""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, PlainSerializer
from pydantic_settings import BaseSettings, SettingsConfigDict

from meshcore.durations import format_duration, parse_duration

GoDuration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
]
"""A duration written as Go and Istio write it."""


class CertProvider(StrEnum):
    """Whose certificate a service serves with; Istio's words."""

    ISTIOD = "istiod"
    """The operator's where there are files of one, else Citadel's."""
    CUSTOM = "custom"
    """The operator's; without it nothing starts."""


class ServiceSettings(BaseSettings):
    """What each service reads; the variable of a field is the prefix and the field's name in capitals."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_nested_delimiter="__", env_ignore_empty=True, populate_by_name=True
    )

    service: ClassVar[str] = "service"

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    host: str = "127.0.0.1"
    """Address that the main ports bind."""
    admin_host: str = "127.0.0.1"
    admin_port: int = 15014
    identity_dir: Path | None = None
    """This service's directory of what `citadel init` wrote; without it the service has no identity."""
    serving_certificate: Path | None = None
    """Folder with a serving certificate of the operator's (`tls.crt`, `tls.key`), read again when it changes."""
    cert_provider: CertProvider = CertProvider.ISTIOD
    state_dir: Path | None = None
    """Where this service keeps what must survive a restart; made with mode 0700."""
    trust_domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    nats_url: str | None = None
    """`nats://host:port` or `tls://host:port`; without it the service runs from its last copies on disk."""
    citadel_address: str | None = None
    """`host:port` of Citadel's certificate service, for the renewal of this service's own certificate."""
    shutdown_grace: GoDuration = timedelta(seconds=10)
    """How long an orderly stop may take before the rest is cancelled."""
