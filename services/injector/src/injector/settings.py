"""Settings of the injector; each variable is `INJECTOR_` and the field's name in capitals."""

from typing import ClassVar

from meshcore.runtime import GoDuration, ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class InjectorSettings(ServiceSettings):
    """What is fixed at start; everything else about injection is config that comes with the feed."""

    model_config = SettingsConfigDict(env_prefix="INJECTOR_")

    service: ClassVar[str] = "injector"

    webhook_port: int = 15017
    """HTTPS port of `/inject`."""
    revision: str = "default"
    """Written to `istio.io/rev` and into the status of each injected pod."""
    cluster_id: str = "Kubernetes"
    """Cluster of pods whose request names none (`/inject/cluster/NAME/net/NAME` does)."""
    requests_per_second: float = Field(default=200, gt=0)
    """Sustained rate of admission requests; what is over it is answered 429."""
    requests_burst: float = Field(default=400, ge=1)
    """Requests that may come at once."""
    request_timeout: GoDuration = Field(default="10s", validate_default=True)
    """How long a request's body may take to arrive; the API server gives up after 10 s by default."""
