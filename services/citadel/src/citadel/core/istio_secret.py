"""The root of a mesh that comes from istiod, out of the Secret that istiod keeps it in. Pure.

Istio's order: `istio-ca-secret` wins; else `cacerts` when it is istiod's own making and so wanted
(USE_CACERTS_FOR_SELF_SIGNED_CA); else there is none. What cannot be taken ends the first start: a new root in its place
would cut off everybody.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from meshcore.errors import MeshError

from citadel.core.authority import Authority
from citadel.core.chain import is_issued_by, refused
from citadel.core.plugged_in import ISTIO_FILES, read_authority

SELF_SIGNED, CACERTS = "istio-ca-secret", "cacerts"
GENERATED = "istio-generated"
"""Key of the `cacerts` that istiod has made."""
Secret = Mapping[str, Any]


def root_of_istio(
    self_signed: Secret | None, cacerts: Secret | None, use_cacerts: bool, now: datetime
) -> Authority | None:
    """The root to go on with, None when istiod has left none; FAILED_PRECONDITION names the Secret and the reason."""
    if self_signed is not None:
        return _root_of(SELF_SIGNED, self_signed, now)
    if cacerts is None:
        return None
    if GENERATED not in (cacerts.get("data") or {}):
        raise refused(CACERTS, "holds an authority of the operator's: mount it and name its folder in ROOT_CA_DIR")
    if not use_cacerts:
        raise refused(CACERTS, "holds a root that istiod has made: USE_CACERTS_FOR_SELF_SIGNED_CA=true takes it")
    return _root_of(CACERTS, cacerts, now)


def _root_of(name: str, secret: Secret, now: datetime) -> Authority:
    data = secret.get("data") or {}
    try:
        files = {file: base64.b64decode(data.get(file) or "", validate=True) for file in ISTIO_FILES.needed}
    except (binascii.Error, ValueError, TypeError):
        raise refused(name, "its data are not base64") from None
    certificate = files[ISTIO_FILES.certificate]
    # A root that signs by itself has no chain; the file of roots is not always there, and not kept current.
    files |= {ISTIO_FILES.chain: b"", ISTIO_FILES.root: files[ISTIO_FILES.root].strip() or certificate}
    try:
        found = read_authority(files, now)
    except MeshError as error:
        raise refused(name, error.detail) from None
    root = found.certificate
    if not is_issued_by(root, root):
        raise refused(name, "its certificate is no root: mount it and name its folder in ROOT_CA_DIR")
    if any(one.public_key() != root.public_key() for one in found.roots):
        raise refused(name, "it has roots besides its own: mount it and name its folder in ROOT_CA_DIR")
    return replace(found, roots=(root,))
