"""The kinds of objects that a registry is made of (`update.py` reads them). Pure."""

DESCRIBING_KINDS = frozenset(
    {"Service", "ServiceEntry", "EndpointSlice", "Endpoints", "Pod", "Node", "WorkloadEntry", "WorkloadGroup"}
)
"""Kinds that a compile sees by nothing but the services and endpoints that they make, and by what networks and the
selection make of them. A kind that a compile reads besides is none of them: its changes would go by the classes that
they concern, and by the fast path of endpoints."""
REGISTRY_KINDS = DESCRIBING_KINDS | {"Namespace"}
"""All of them. Namespaces say what their services prefer, and besides which objects count."""
