"""Secret (v1): the certificates of gateways and other confidential bytes."""

from meshcore.model.kinds import CORE

from galley.core.kind_rules import KindRules
from galley.core.kinds.secret.normalize import fill_defaults, normalize
from galley.core.kinds.secret.validate import validate
from galley.core.kube_api.columns import count, field

RULES = KindRules(
    CORE,
    "Secret",
    validate=validate,
    normalize=normalize,
    fill_defaults=fill_defaults,
    columns=(field("Type", "type"), count("Data", "data")),
    strategic_merge_keys={},
    unconditional_update=True,
    confidential=True,
)
