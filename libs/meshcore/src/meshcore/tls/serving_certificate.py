"""A serving certificate that the operator gives a service as files, in place of Citadel's (as Istio's `istiod/tls`).

Clients see it; whom the service believes, and what it shows as a client itself, stays its own identity's. A pair that
does not fit is waited out with the one of before.
"""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from meshcore.errors import ErrorCode, MeshError
from meshcore.key_pair import pair_fault
from meshcore.runtime import CertProvider, Runtime
from meshcore.runtime.file_stamp import FileStamp, file_stamp
from meshcore.tls.identity import LiveIdentity, ServiceIdentity
from meshcore.tls.private_key import PrivateKeyPem
from meshcore.tls.trust import leads_to_any

CHAIN, KEY = "tls.crt", "tls.key"
_LOOK_EVERY = 1.0
_log = structlog.get_logger("serving certificate")


def serving_identity(runtime: Runtime[Any], own: LiveIdentity, *, of_mesh: bool = False) -> LiveIdentity:
    """What clients see: the pair in the folder of the settings, followed from now on, or its own where there is none.

    `of_mesh`: the service's clients believe the roots of the mesh only, so the pair must lead to one of them.
    FAILED_PRECONDITION when there are files at the start that cannot be served, or none where the settings want some.
    """
    folder = runtime.settings.serving_certificate
    if folder is None or not any((folder / name).exists() for name in (CHAIN, KEY)):
        if runtime.settings.cert_provider is CertProvider.CUSTOM:
            where = "no folder is named for them" if folder is None else f"{folder} has none"
            raise _refused(f"a certificate of the operator's is wanted, {CHAIN} and {KEY}, and {where}")
        return own
    seen = _stamps(folder)
    served = LiveIdentity(_read(folder, own.current, of_mesh))
    own.on_change(lambda renewed: served.replace(_with_trust_of(served.current, renewed)))
    runtime.spawn("serving certificate", partial(follow, folder, served, own, seen, of_mesh))
    _log.info("the operator's certificate is served", folder=str(folder))
    return served


async def follow(
    folder: Path, served: LiveIdentity, own: LiveIdentity, seen: tuple[FileStamp, ...], of_mesh: bool
) -> None:
    """Never returns."""
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        stamps = await asyncio.to_thread(_stamps, folder)
        if stamps == seen:
            continue
        seen = stamps
        try:
            served.replace(_read(folder, own.current, of_mesh))
        except MeshError as error:
            _log.warning("the certificate of before is served", reason=error.detail)
            continue
        _log.info("another certificate is served", not_after=served.current.not_after.isoformat())


def _read(folder: Path, own: ServiceIdentity, of_mesh: bool) -> ServiceIdentity:
    try:
        chain, key = ((folder / name).read_bytes() for name in (CHAIN, KEY))
    except OSError as error:
        raise _refused(f"{error.filename} cannot be read: {error.strerror}") from None
    if fault := pair_fault(chain, key):
        raise _refused(f"{folder}: {fault}")
    if of_mesh and not leads_to_any(chain, own.root):
        raise _refused(f"{folder}: the certificate leads to no root of the mesh, and the clients believe no other")
    return _with_trust_of(ServiceIdentity(PrivateKeyPem(key), chain, own.root), own)


def _with_trust_of(shown: ServiceIdentity, own: ServiceIdentity) -> ServiceIdentity:
    return replace(shown, root=own.root, revoked=own.revoked)


def _refused(detail: str) -> MeshError:
    return MeshError(ErrorCode.FAILED_PRECONDITION, detail)


def _stamps(folder: Path) -> tuple[FileStamp, ...]:
    return tuple(file_stamp(folder / name) for name in (CHAIN, KEY))
