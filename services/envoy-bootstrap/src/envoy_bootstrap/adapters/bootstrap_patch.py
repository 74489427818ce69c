"""What EnvoyFilters say of this workload's bootstrap: asked of Pilot before Envoy starts, kept for a start without it.

A patch after which Envoy would not start is left out: a proxy starts in any case.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from meshcore.errors import MeshError
from meshcore.tls import write_private

from envoy_bootstrap.adapters.envoy_process import validate
from envoy_bootstrap.core.bootstrap import patched

_log = structlog.get_logger("bootstrap")
_WITHIN = 10.0
"""Seconds that Envoy's start waits for Pilot."""
_PATCH_FILE, _TRIAL_FILE = "bootstrap-patch.pb", "bootstrap-trial.json"


class BootstrapPatch:
    """One workload's. `received` may be called at any time; only the first answer counts for this start."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / _PATCH_FILE
        self._trial = state_dir / _TRIAL_FILE
        self._patch = b""
        self._answer: bytes | None = None
        self._answered = asyncio.Event()

    def received(self, patch: bytes) -> None:
        """Pilot's word; empty when no EnvoyFilter is for this workload."""
        if self._answer is not None and self._answer != patch:
            _log.info("the bootstrap has other patches now: they count when the workload starts again")
        self._answer = patch
        with contextlib.suppress(OSError):
            if patch:
                write_private(self._file, patch)
            else:
                self._file.unlink(missing_ok=True)
        self._answered.set()

    async def settle(self, envoy: str, plain: Mapping[str, Any]) -> None:
        """Decide what this start is to have; `plain` is the bootstrap without patches."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WITHIN):
                await self._answered.wait()
        patch = self._answer
        if patch is None:
            _log.warning("pilot has not said how the bootstrap is patched, the last patches count", seconds=_WITHIN)
            patch = self._file.read_bytes() if self._file.exists() else b""
        self._patch = b""
        if not patch:
            return
        try:
            write_private(self._trial, json.dumps(patched(plain, patch)).encode())
            await validate(envoy, self._trial)
        except (MeshError, ValueError) as error:
            _log.error("the patches of the bootstrap are left out", reason=str(error)[-500:])
        else:
            self._patch = patch
        finally:
            self._trial.unlink(missing_ok=True)

    def applied(self, bootstrap: Mapping[str, Any]) -> Mapping[str, Any]:
        """The bootstrap as this start has it."""
        return patched(bootstrap, self._patch) if self._patch else bootstrap
