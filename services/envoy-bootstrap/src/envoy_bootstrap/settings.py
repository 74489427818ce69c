"""What the agent shares with every service; its own settings come from Istio's variables (core.environment)."""

from datetime import timedelta
from typing import ClassVar

from meshcore.runtime import GoDuration, ServiceSettings
from pydantic_settings import SettingsConfigDict


class AgentSettings(ServiceSettings):
    """No prefix: the agent's variables have Istio's names."""

    model_config = SettingsConfigDict(env_prefix="", frozen=True, extra="ignore", env_ignore_empty=True)
    service: ClassVar[str] = "envoy-bootstrap"

    shutdown_grace: GoDuration = timedelta(hours=1)
    """Every step of leaving has a limit of its own; a drain until zero connections is the longest."""
