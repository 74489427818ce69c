"""When the root gets a new life under the same key, as Istio's rotator decides it. Pure."""

from datetime import datetime

from cryptography import x509

GRACE_PERCENTILE = 20
"""Part of the root's life, at its end, in which it is renewed."""


def renewal_due(root: x509.Certificate, now: datetime, percentile: int = GRACE_PERCENTILE) -> bool:
    """Whether the last `percentile` % of the root's life have begun."""
    life = root.not_valid_after_utc - root.not_valid_before_utc
    return now >= root.not_valid_after_utc - life * percentile / 100
