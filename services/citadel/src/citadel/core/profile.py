"""How long certificates live, and who decides that. Pure; the field-by-field profile is in issuance.py."""

from dataclasses import dataclass
from datetime import timedelta

from citadel.core.refusal import Reason, SigningRefused

BACKDATE = timedelta(minutes=2)
"""How far notBefore lies in the past, for clocks that lag behind."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of certificate: what it lives when nothing is asked, and at most."""

    name: str
    default_ttl: timedelta
    max_ttl: timedelta


def workload_profile(default_ttl: timedelta, max_ttl: timedelta) -> Profile:
    """Leaves of workloads; a default above the maximum is cut to it."""
    return Profile("workload", min(default_ttl, max_ttl), max_ttl)


SERVICE = Profile("service", timedelta(days=30), timedelta(days=90))
"""Leaves of the control plane's services: they renew themselves, `init` renews those that were down too long."""

SERVER_WITHOUT_RENEWAL = Profile("server", timedelta(days=3650), timedelta(days=3650))
"""Leaves of servers that cannot renew (NATS): as long as the root; `init` replaces them at half of it."""


def granted_ttl(profile: Profile, seconds: int) -> timedelta:
    """The life for a request of `seconds`: nothing or less asks for the default, too much is TTL_ERROR (not cut)."""
    if seconds <= 0:
        return profile.default_ttl
    if seconds > profile.max_ttl.total_seconds():
        raise SigningRefused(
            Reason.TTL_ERROR,
            f"requested TTL {seconds}s is greater than the max allowed TTL {profile.max_ttl.total_seconds():.0f}s",
        )
    return timedelta(seconds=seconds)
