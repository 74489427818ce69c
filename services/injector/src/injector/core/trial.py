"""A new configuration is tried on a small pod before it is taken into use. Pure.

Values and MeshConfig are free-form where templates read them; a wrong shape shows when it is used. Better here, once,
with the last good configuration still in force, than at the next pod.
"""

from meshcore.errors import MeshError

from injector.core.config import InjectionConfig
from injector.core.context import PodFacts
from injector.core.inject import inject_pod
from injector.core.workload import Workload

_POD = {"metadata": {"name": "trial"}, "spec": {"containers": [{"name": "app", "image": "app"}]}}


def trial_problems(config: InjectionConfig) -> tuple[str, ...]:
    """What went wrong when the default templates were applied to a plain pod; empty when nothing did."""
    try:
        injected = inject_pod(PodFacts(_POD, "default", Workload("v1", "Pod", "trial"), config))
    except MeshError as error:
        return (str(error),)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        return (f"a pod cannot be injected with these values: {type(error).__name__}: {error}",)
    containers = [*injected["spec"].get("initContainers", ()), *injected["spec"]["containers"]]
    if len(containers) == 1:
        return ("the default templates add no container",)
    return ()
