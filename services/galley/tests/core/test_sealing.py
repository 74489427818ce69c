"""Confidential objects at rest, and which they are."""

import os

import pytest
from galley.core.confidential import CONFIDENTIAL, public_part, with_key_names
from galley.core.kinds import rules_of
from galley.core.sealing import Vault
from meshcore.errors import MeshError
from meshcore.model.kinds import KINDS

VAULT = Vault(b"k" * 32)


def test_what_is_sealed_opens_for_its_own_purpose_only() -> None:
    sealed = VAULT.seal(b"content", "a", os.urandom)
    assert b"content" not in sealed
    assert VAULT.open(sealed, "a") == b"content"
    for vault, body, purpose in (
        (VAULT, sealed, "b"),
        (Vault(b"l" * 32), sealed, "a"),
        (VAULT, sealed[:-1], "a"),
        (VAULT, sealed[:20], "a"),
        (VAULT, b"", "a"),
        (VAULT, b"xx" + sealed[2:], "a"),
    ):
        with pytest.raises(MeshError, match="does not open"):
            vault.open(body, purpose)


def test_every_object_has_a_key_of_its_own() -> None:
    assert VAULT.seal(b"x", "a", os.urandom) != VAULT.seal(b"x", "a", os.urandom)


def test_a_digest_needs_the_key() -> None:
    assert VAULT.digest(b"x", "a") == VAULT.digest(b"x", "a")
    assert len({VAULT.digest(b"x", "a"), VAULT.digest(b"x", "b"), Vault(b"l" * 32).digest(b"x", "a")}) == 3


@pytest.mark.parametrize("text", ["", "short", "bm90IDMyIGJ5dGVz", "ö"])
def test_a_wrong_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(MeshError) as caught:
        Vault.of_text(text)
    assert not text or text not in str(caught.value)
    assert repr(VAULT) == "Vault()"


def test_the_confidential_kinds_are_those_whose_rules_say_so() -> None:
    assert {(info.group, info.plural) for info in KINDS if rules_of(info).confidential} == CONFIDENTIAL


def test_the_public_part_has_no_content() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": "a", "labels": {"app": "x"}, "annotations": {"last": "data"}, "managedFields": [{}]},
        "data": {"k": "djE="},
        "stringData": {"l": "v"},
    }
    public = public_part(secret, "d")
    assert public == {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": "a",
            "labels": {"app": "x"},
            "annotations": {"meshcore.io/content-digest": "d"},
        },
    }
    assert public_part(public) == public
    assert with_key_names(secret)["data"] == {"k": ""}
