"""A serving certificate that the operator gives Pilot as files, in place of Citadel's (Istio's `istiod/tls` folder).

Clients see it; whom Pilot believes, and what it shows as a client itself, stays its own identity's. A pair that does
not fit is waited out with the one of before.
"""

import asyncio
from functools import partial
from pathlib import Path

import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.key_pair import pair_fault
from meshcore.runtime import Runtime
from meshcore.runtime.file_stamp import FileStamp, file_stamp
from meshcore.tls import LiveIdentity, PrivateKeyPem, ServiceIdentity

from pilot.settings import PilotSettings

CHAIN, KEY = "tls.crt", "tls.key"
_LOOK_EVERY = 1.0
_log = structlog.get_logger("serving certificate")


def serving_identity(runtime: Runtime[PilotSettings], own: LiveIdentity) -> LiveIdentity:
    """What clients of ADS see: the files' pair, followed from now on, or its own where there are none.

    FAILED_PRECONDITION when there are files at the start that do not make a pair.
    """
    folder = runtime.settings.serving_certificate
    if not any((folder / name).exists() for name in (CHAIN, KEY)):
        return own
    seen = _stamps(folder)
    served = LiveIdentity(_read(folder, own.current))
    own.on_change(lambda renewed: served.replace(_with_trust_of(served.current, renewed)))
    runtime.spawn("serving certificate", partial(follow, folder, served, own, seen))
    _log.info("the operator's certificate is served", folder=str(folder))
    return served


async def follow(folder: Path, served: LiveIdentity, own: LiveIdentity, seen: tuple[FileStamp, ...]) -> None:
    """Never returns."""
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        stamps = await asyncio.to_thread(_stamps, folder)
        if stamps == seen:
            continue
        seen = stamps
        try:
            served.replace(_read(folder, own.current))
        except MeshError as error:
            _log.warning("the certificate of before is served", reason=error.detail)
            continue
        _log.info("another certificate is served", not_after=served.current.not_after.isoformat())


def _read(folder: Path, own: ServiceIdentity) -> ServiceIdentity:
    try:
        chain, key = ((folder / name).read_bytes() for name in (CHAIN, KEY))
    except OSError as error:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"{error.filename} cannot be read: {error.strerror}") from None
    if fault := pair_fault(chain, key):
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"{folder}: {fault}")
    return _with_trust_of(ServiceIdentity(PrivateKeyPem(key), chain, own.root), own)


def _with_trust_of(shown: ServiceIdentity, own: ServiceIdentity) -> ServiceIdentity:
    return ServiceIdentity(shown.key, shown.chain, own.root, own.revoked)


def _stamps(folder: Path) -> tuple[FileStamp, ...]:
    return tuple(file_stamp(folder / name) for name in (CHAIN, KEY))
