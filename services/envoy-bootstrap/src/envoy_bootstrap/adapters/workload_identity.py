"""The workload's certificate over time: asked for, renewed, and never given up while it is valid."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from meshcore import metrics
from meshcore.errors import MeshError
from meshcore.pem import joined_certificates
from meshcore.rotation import time_to_rotation
from meshcore.tls import Bundle, ServiceIdentity, leads_to_first

from envoy_bootstrap.core.back_off import RENEWAL_BACK_OFF

_log = structlog.get_logger("identity")
_EXPIRY = metrics.gauge("istio_agent_cert_expiry_seconds", "Seconds until a certificate expires.", ["resource_name"])
_SPREAD = 30.0
"""Seconds within which a fleet renews its certificates when another root signs."""
_LAGGING = 5.0
_CHECK_AT_LEAST = 60.0
"""Seconds between looks at the clock: a suspended or corrected clock must not delay a renewal by more."""

Issue = Callable[[ServiceIdentity | None], Awaitable[ServiceIdentity]]
Listener = Callable[[ServiceIdentity], object]


class WorkloadIdentity:
    """What the workload presents now. `renew_for_ever` is run as a task of the agent."""

    def __init__(self, issue: Issue, *, ratio: float, jitter: float) -> None:
        self._issue = issue
        self._ratio = ratio
        self._jitter = jitter
        self._current: ServiceIdentity | None = None
        self._received = datetime.now(UTC)
        self._available = asyncio.Event()
        self._listeners: list[Listener] = []
        self._followed: bytes | None = None
        """Roots that the trust stream has brought."""
        self._anchors = b""
        """Roots that are believed whatever the trust stream brings."""
        self._revoked = self._others = b""
        self.of_pilot = b""
        """Roots that only Pilot may be of."""
        self._hurry = asyncio.Event()

    @property
    def received(self) -> datetime:
        """When the life of the pair in force began for us."""
        return self._received

    @property
    def revoked(self) -> bytes:
        """Revocation lists that came with the trust bundle."""
        return self._revoked

    @property
    def others(self) -> bytes:
        """Roots of other authorities, which peers may have and the control plane may not."""
        return self._others

    def for_peers(self, identity: ServiceIdentity) -> ServiceIdentity:
        """The same with every root that a peer of the workload may have: for the proxy or library, not the agent."""
        return replace(identity, root=identity.root + self._others)

    def for_pilot(self, identity: ServiceIdentity) -> ServiceIdentity:
        """The same with every root that Pilot may have."""
        return replace(identity, root=joined_certificates(identity.root, self.of_pilot))

    def believe_of_pilot(self, roots: bytes) -> None:
        """Have Pilot be of these roots too from now on."""
        self.of_pilot = roots
        if self._current is not None:
            self.use(self._current, self._received)

    @property
    def current(self) -> ServiceIdentity | None:
        """The last good pair; None before the first."""
        return self._current

    async def wait(self) -> ServiceIdentity:
        """The pair in force, as soon as there is one."""
        await self._available.wait()
        assert self._current is not None  # noqa: S101 - set before the event
        return self._current

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with every new pair."""
        self._listeners.append(listener)

    def use(self, identity: ServiceIdentity, received: datetime) -> None:
        """Take a pair into use; `received` is when its life began for us.

        Roots that the trust stream has brought stay: they are newer than what came with a certificate.
        """
        if self._followed is not None and identity.root != (roots := self._believed(self._followed)):
            identity = ServiceIdentity(identity.key, identity.chain, roots)
        self._current, self._received = identity, received
        _EXPIRY.labels("default").set_function(lambda: (identity.not_after - datetime.now(UTC)).total_seconds())
        self._available.set()
        for listener in self._listeners:
            listener(identity)

    def use_mounted(self, identity: ServiceIdentity, received: datetime) -> None:
        """Take a pair into use that is not the CA's to renew; its roots stay beside those of the trust stream."""
        self._anchors = identity.root
        self.use(identity, received)

    def _believed(self, followed: bytes) -> bytes:
        return joined_certificates(self._anchors, followed) if self._anchors else followed

    def restore(self, identity: ServiceIdentity, revoked: bytes, others: bytes, received: datetime) -> None:
        """Take a stored pair into use."""
        self._revoked, self._others = revoked, others
        self.use(identity, received)

    def hurry(self) -> None:
        """Have the pair renewed at once."""
        self._hurry.set()

    def trust(self, bundle: Bundle) -> None:
        """Believe these roots from now on; when another one signs now, the certificate is renewed soon.

        ValueError for a bundle that cannot be read; the present one stays then.
        """
        current = self._current
        if current is None or bundle == Bundle(self._followed or b"", self._revoked, self._others):
            return
        another = not self._anchors and not leads_to_first(current.chain, bundle.roots)
        believed = replace(bundle, roots=self._believed(bundle.roots))
        changed = believed != Bundle(current.root, self._revoked, self._others)
        self._followed, self._revoked, self._others = bundle.roots, bundle.revoked, bundle.others
        if changed:
            _log.info("trust bundle replaced", another_root_signs=another)
            self.use(ServiceIdentity(current.key, current.chain, bundle.roots), self._received)
        if another:
            self._renew_soon(current)

    def _renew_soon(self, current: ServiceIdentity) -> None:
        left = (current.not_after - datetime.now(UTC)).total_seconds()
        soon = random.uniform(0, min(_SPREAD, max(0.0, left) / 10))  # noqa: S311 - spreads a fleet
        asyncio.get_running_loop().call_later(soon, self._hurry.set)

    async def renew_for_ever(self) -> None:
        """Get the first pair, then each next one in its time; a failure keeps what there is and tries again."""
        attempt = 0
        while True:
            await self._wait_for_rotation()
            try:
                identity = await self._issue(self._current)
            except MeshError as error:
                delay = RENEWAL_BACK_OFF.delay(attempt, random.random())  # noqa: S311 - spreads tries
                attempt += 1
                _log.warning(
                    "certificate not renewed",
                    reason=str(error),
                    kept=self._current is not None,
                    retry_in=round(delay, 1),
                )
                await asyncio.sleep(delay)
                continue
            attempt = 0
            self._hurry.clear()
            self.use(identity, datetime.now(UTC))
            if self._followed is not None and not leads_to_first(identity.chain, self._followed):
                # Another replica of Citadel may not have seen yet that another root signs.
                await asyncio.sleep(_LAGGING)
                self._renew_soon(identity)
            _log.info("certificate issued", identity=str(identity.spiffe), not_after=identity.not_after.isoformat())

    async def _wait_for_rotation(self) -> None:
        # One draw per certificate: a jitter drawn anew at every look would move the moment back and forth.
        jitter = random.uniform(-self._jitter, self._jitter)  # noqa: S311 - spreads a fleet
        while self._current is not None:
            left = time_to_rotation(
                datetime.now(UTC), self._received, self._current.not_after, self._ratio, jitter
            ).total_seconds()
            if left <= 0 or self._hurry.is_set():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _CHECK_AT_LEAST)):
                    await self._hurry.wait()
