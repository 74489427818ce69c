"""What an access record may hold, for the agent that writes one and for Citadel that keeps it. Pure."""

from types import MappingProxyType

TEXT_LIMITS = MappingProxyType(
    {
        "protocol": 16,
        "principal": 1024,
        "request_principal": 512,
        "source": 64,
        "destination": 64,
        "method": 32,
        "authority": 256,
        "path": 512,
        "response_flags": 64,
        "reason": 512,
        "request_id": 64,
    }
)
"""Characters of each text: an agent cuts what is longer, Citadel refuses it."""
NAME_LIMIT = 253
"""Characters of a policy's namespace and of its name."""
LARGEST_BATCH = 500
"""Records that are reported at once."""
AUDIT_SHADOW = "istio_audit_"
"""Before the names under which a proxy tells, in the metadata of its RBAC filters, which AUDIT policy matched."""
