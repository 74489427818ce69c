import base64
import os

import pytest
from citadel.core.sealing import parse_keks, seal, unseal
from meshcore.errors import MeshError

KEK, NONCE = os.urandom(32), os.urandom(12)


def test_what_was_sealed_opens_with_the_same_key_and_purpose_only():
    sealed = seal(KEK, b"the key", "root", NONCE)
    assert b"the key" not in sealed
    assert unseal([KEK], sealed, "root") == (b"the key", True)
    assert unseal([os.urandom(32), KEK], sealed, "root") == (b"the key", False)
    broken = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for kek, value, purpose in (
        (os.urandom(32), sealed, "root"),
        (KEK, sealed, "other"),
        (KEK, broken, "root"),
        (KEK, b"v2" + sealed[2:], "root"),
        (KEK, b"v1", "root"),
    ):
        with pytest.raises(MeshError):
            unseal([kek], value, purpose)
    with pytest.raises(ValueError, match="12 bytes"):
        seal(KEK, b"", "root", b"short")


def test_a_kek_is_32_bytes_and_never_quoted():
    text = base64.b64encode(KEK).decode()
    assert parse_keks(f"{text}\n") == (KEK,)
    assert parse_keks(f"{base64.b64encode(bytes(32)).decode()},{text}") == (bytes(32), KEK)
    for bad in ("", "c2VjcmV0", "not base64 secret", f"{text} c2VjcmV0"):
        with pytest.raises(MeshError) as error:
            parse_keks(bad)
        assert "secret" not in str(error.value)
