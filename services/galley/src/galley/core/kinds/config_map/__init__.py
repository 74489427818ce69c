"""ConfigMap (v1): text by key. The one named `istio` in the root namespace is the mesh's own config."""

from meshcore.model.kinds import CORE

from galley.core.kind_rules import KindRules
from galley.core.kinds.config_map.normalize import normalize
from galley.core.kinds.config_map.validate import validate
from galley.core.kube_api.columns import count

RULES = KindRules(
    CORE,
    "ConfigMap",
    validate=validate,
    normalize=normalize,
    columns=(count("Data", "data", "binaryData"),),
    strategic_merge_keys={},
    unconditional_update=True,
)
