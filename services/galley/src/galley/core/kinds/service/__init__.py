"""Service (v1): registry input."""

from meshcore.model.kinds import CORE

from galley.core.apply.structure import Structure
from galley.core.kind_rules import KindRules
from galley.core.kinds.service.columns import COLUMNS
from galley.core.kinds.service.normalize import fill_defaults, normalize
from galley.core.kinds.service.validate import validate

RULES = KindRules(
    CORE,
    "Service",
    validate=validate,
    normalize=normalize,
    fill_defaults=fill_defaults,
    columns=COLUMNS,
    strategic_merge_keys={"spec.ports": "port"},
    structure=Structure(
        list_keys={"spec.ports": {"port": None, "protocol": "TCP"}}, atomic_maps=frozenset({"spec.selector"})
    ),
    initial_status={"loadBalancer": {}},
    answers_deletion_with_object=True,
)
