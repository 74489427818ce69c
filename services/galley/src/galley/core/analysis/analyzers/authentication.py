"""Authentication policies and the control plane: where public keys may be fetched from."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import DEPLOYMENT, REQUEST_AUTHENTICATION
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import JWKS_FETCH_UNRESTRICTED
from galley.core.analysis.reading import mapping, mappings, text
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import containers

_VARIABLE = "BLOCKED_CIDRS_IN_JWKS_URIS"
_SHOWN = 5


def check_blocked_ranges(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """A control plane that fetches JWKS from anywhere while there are policies that have it do so."""
    names = [policy.full_name for policy in inputs.of(REQUEST_AUTHENTICATION)]
    if not names:
        return
    shown = ", ".join(names[:_SHOWN]) + (f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    for deployment in inputs.of(DEPLOYMENT):
        if deployment.labels.get("app") == "istiod" and not _is_restricted(deployment):
            fix = Fix(f"Set {_VARIABLE} in the container's env to the ranges that must not be reached.")
            yield Message(JWKS_FETCH_UNRESTRICTED, deployment, (len(names), shown), 0, fix)


def _is_restricted(deployment: Resource) -> bool:
    return any(
        text(variable, "name") == _VARIABLE and text(variable, "value")
        for container in containers(mapping(deployment.spec, "template", "spec"))
        for _, variable in mappings(container, "env")
    )
