"""What no object of any kind may carry in its metadata."""

from meshcore.labels import label_violations
from meshcore.model.base import MeshObject

from galley.core.rules.report import Report

_DRY_RUN = "istio.io/dry-run"
_ALWAYS_REJECT = "internal.istio.io/webhook-always-reject"
_ESCALATING = ("internal.istio.io/parent-namespace", "internal.istio.io/parents")
_GO_BOOLEANS = frozenset(["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"])


def check_metadata(parsed: MeshObject, report: Report) -> None:
    """Labels of Kubernetes' form, and no annotation that belongs to the control plane itself."""
    report.errors.extend(label_violations(parsed.metadata.labels, "metadata.labels"))
    annotations = parsed.metadata.annotations
    if _DRY_RUN in annotations:
        path = f"metadata.annotations[{_DRY_RUN}]"
        if parsed.kind != "AuthorizationPolicy":
            report.error(path, "only an AuthorizationPolicy can be run dry")
        elif annotations[_DRY_RUN] not in _GO_BOOLEANS:
            report.error(path, f"{annotations[_DRY_RUN]!r} is not a boolean", "true or false")
    if _ALWAYS_REJECT in annotations:
        report.error(f"metadata.annotations[{_ALWAYS_REJECT}]", "an object with this annotation is always refused")
    for name in _ESCALATING:
        if name in annotations:
            report.error(f"metadata.annotations[{name}]", "only the control plane itself may set this annotation")
