"""Pilot's own certificate: renewed by the one process that owns the directory, followed by its workers."""

import asyncio
import os
from functools import partial
from pathlib import Path

import structlog
from cryptography.hazmat.primitives import serialization
from meshcore.errors import MeshError
from meshcore.runtime import Runtime
from meshcore.tls import LiveIdentity, ServiceIdentity, load_identity
from meshcore.tls.identity import CHAIN_FILE
from meshcore.tls.renewal import keep_current

from pilot.settings import PilotSettings

_LOOK_EVERY = 1.0
_log = structlog.get_logger("identity")


def start_identity(runtime: Runtime[PilotSettings]) -> LiveIdentity | None:
    """The identity of this process, kept current; None without an identity directory."""
    settings = runtime.settings
    directory = settings.identity_dir
    if directory is None:
        return None
    if settings.worker >= 0:
        followed = LiveIdentity(load_identity(directory))
        runtime.spawn("identity", partial(_follow, followed, directory))
        return followed
    identity = LiveIdentity.load(directory)
    if settings.citadel_address:
        runtime.spawn("renewal", partial(keep_current, identity, settings.citadel_address, settings.instance))
    return identity


async def _follow(identity: LiveIdentity, directory: Path) -> None:
    """Take what the parent has renewed into use."""
    seen = os.stat(directory / CHAIN_FILE).st_mtime_ns
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        stamp = os.stat(directory / CHAIN_FILE).st_mtime_ns
        if stamp == seen:
            continue
        try:
            renewed = load_identity(directory)
            if not _belong_together(renewed):
                continue  # key and chain are replaced one after the other
        except (MeshError, ValueError) as error:
            _log.warning("renewed identity not usable yet", error=type(error).__name__)
            continue
        seen = stamp
        identity.replace(renewed)
        _log.info("renewed identity taken into use", not_after=renewed.not_after.isoformat())


def _belong_together(identity: ServiceIdentity) -> bool:
    key = serialization.load_pem_private_key(identity.key.pem, None)
    return key.public_key() == identity.certificate.public_key()
