"""Sources of config besides the API: a directory of files, another Kubernetes API."""

from pathlib import Path

from galley.adapters.config_api.calls import Backend
from galley.adapters.sources.directory import DirectorySource
from galley.adapters.sources.intake import Intake
from galley.adapters.sources.kubernetes import KubernetesSource
from galley.core.kube_api.query import FieldValidation

__all__ = ["DirectorySource", "Intake", "KubernetesSource", "intakes_of"]


def intakes_of(backend: Backend, directory: Path | None, kubeconfig: Path | None) -> list[Intake]:
    """The sources that are configured."""
    intakes: list[Intake] = []
    if directory is not None:
        intakes.append(Intake(DirectorySource(directory), backend))
    if kubeconfig is not None:
        source = KubernetesSource.of_kubeconfig(kubeconfig)
        intakes.append(Intake(source, backend, FieldValidation.IGNORE))
    return intakes
