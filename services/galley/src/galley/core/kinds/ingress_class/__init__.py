"""IngressClass (networking.k8s.io/v1): who serves which Ingresses."""

from meshcore.model.kinds import KUBERNETES_NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.ingress_class.validate import validate
from galley.core.kube_api.columns import field

RULES = KindRules(
    KUBERNETES_NETWORKING,
    "IngressClass",
    validate=validate,
    columns=(field("Controller", "spec", "controller"), field("Parameters", "spec", "parameters", "name")),
    strategic_merge_keys={},
    unconditional_update=True,
)
