"""The one way to start a service.

`run(CitadelSettings, build)` reads the settings, sets up logs, traces and metrics, installs signal handlers, calls
`await build(runtime)` inside a task group, reports ready, and on SIGTERM or SIGINT stops everything in reverse order.
"""

from meshcore.runtime.readiness import Condition, Readiness
from meshcore.runtime.service import Runtime, running, serve
from meshcore.runtime.settings import CertProvider, GoDuration, ServiceSettings
from meshcore.runtime.start import run

__all__ = [
    "CertProvider",
    "Condition",
    "GoDuration",
    "Readiness",
    "Runtime",
    "ServiceSettings",
    "run",
    "running",
    "serve",
]
