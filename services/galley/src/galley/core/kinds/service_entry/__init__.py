"""ServiceEntry (networking.istio.io): a service that no registry knows."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.service_entry.normalize import normalize
from galley.core.kinds.service_entry.validate import validate
from galley.core.kube_api.columns import field

RULES = KindRules(
    NETWORKING,
    "ServiceEntry",
    validate=validate,
    normalize=normalize,
    columns=(
        field("Hosts", "spec", "hosts", description="The hosts of the service"),
        field("Location", "spec", "location", description="Whether the service is part of the mesh"),
        field("Resolution", "spec", "resolution", description="How its addresses are found"),
    ),
)
