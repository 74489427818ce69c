"""Pilot's settings; each from `PILOT_<NAME>`, the ones that Istio has under Istio's names."""

from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from meshcore.runtime.settings import GoDuration, ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class PilotSettings(ServiceSettings):
    """What Pilot reads at start."""

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
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share the ports; also `--workers N`."""
    worker: int = -1
    """Set by the parent process: the number of this worker."""
    control_socket: Path | None = None
    """Set by the parent process: where this worker is asked."""
    galley_address: str = ""
    """`host:port` of Galley's mTLS port, from which the Secrets that config refers to are taken; empty: none are."""
    debounce_after: GoDuration = timedelta(milliseconds=100)
    debounce_max: GoDuration = timedelta(seconds=10)
    push_throttle: int = Field(default=0, ge=0)
    """Streams that are being served their first config at once; 0 adapts."""
    max_requests_per_second: float = Field(default=0, ge=0)
    """New streams per second; 0 is as fast as the machine bears."""
    first_config_timeout: GoDuration = timedelta(seconds=30)
    """A stream that has not taken its first complete config by then is ended."""
    stream_max_age: GoDuration = timedelta(minutes=30)
    """After which, +/- 20 %, a stream is ended so that the peer proves its identity again."""
    enable_workload_entry: bool = True
    """Whether workloads may register over their agent's stream."""
    registration_grace: GoDuration = timedelta(seconds=10)
    registration_stable_after: GoDuration = timedelta(seconds=30)
    heartbeat_interval: GoDuration = timedelta(seconds=2)
    galley_url: str = ""
    """Galley's config API, to report what proxies refuse; empty reports nothing."""
    status_interval: GoDuration = timedelta(seconds=5)
    """How often refusals are looked at; no object's status is written more often."""
    query_deadline: GoDuration = timedelta(seconds=2)
    """How long other instances and workers may take to answer, beyond the wait that was asked for."""
