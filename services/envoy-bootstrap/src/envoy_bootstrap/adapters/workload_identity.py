"""The workload's certificate over time: asked for, renewed, and never given up while it is valid."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from meshcore import metrics
from meshcore.errors import MeshError
from meshcore.rotation import time_to_rotation
from meshcore.tls import ServiceIdentity

from envoy_bootstrap.core.back_off import RENEWAL_BACK_OFF

_log = structlog.get_logger("identity")
_EXPIRY = metrics.gauge("istio_agent_cert_expiry_seconds", "Seconds until a certificate expires.", ["resource_name"])
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
        """Take a pair into use; `received` is when its life began for us."""
        self._current, self._received = identity, received
        _EXPIRY.labels("default").set_function(lambda: (identity.not_after - datetime.now(UTC)).total_seconds())
        self._available.set()
        for listener in self._listeners:
            listener(identity)

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
            self.use(identity, datetime.now(UTC))
            _log.info("certificate issued", identity=str(identity.spiffe), not_after=identity.not_after.isoformat())

    async def _wait_for_rotation(self) -> None:
        # One draw per certificate: a jitter drawn anew at every look would move the moment back and forth.
        jitter = random.uniform(-self._jitter, self._jitter)  # noqa: S311 - spreads a fleet
        while self._current is not None:
            left = time_to_rotation(
                datetime.now(UTC), self._received, self._current.not_after, self._ratio, jitter
            ).total_seconds()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _CHECK_AT_LEAST))
