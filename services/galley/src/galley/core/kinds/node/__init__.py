"""Node (v1): a machine of a cluster, which analysis reads."""

from meshcore.model.kinds import CORE

from galley.core.kind_rules import KindRules

RULES = KindRules(CORE, "Node", strategic_merge_keys={}, keeps_history=False, unconditional_update=True)
