"""A DestinationRule's host in full."""

from meshcore.model.destination_rule import DestinationRule

from galley.core.kind_rules import Naming


def normalize(rule: DestinationRule, naming: Naming) -> DestinationRule:
    """The short host of the rule's own namespace becomes an FQDN."""
    host = naming.fqdn(rule.spec.host, rule.metadata.namespace)
    return rule.model_copy(update={"spec": rule.spec.model_copy(update={"host": host})})
