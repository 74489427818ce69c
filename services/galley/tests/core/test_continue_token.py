from __future__ import annotations

import pytest
from galley.core.continue_token import ContinueToken, parse_continue_token
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.errors import ErrorCode, MeshError

name = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10)


@settings(derandomize=True, max_examples=100)
@given(revision=st.integers(0, 2**60), namespace=name, last=name)
def test_a_token_survives_its_text(revision: int, namespace: str, last: str):
    token = ContinueToken(revision, namespace, last)
    assert parse_continue_token(str(token)) == token


TOO_LARGE = [str(ContinueToken(revision, "a", "b")) for revision in (2**63, 10**4000, -1)]


@pytest.mark.parametrize("text", ["x", "!!", "YQ", "YQBiAGM", "é", *TOO_LARGE])
def test_anything_else_is_invalid(text: str):
    with pytest.raises(MeshError) as raised:
        parse_continue_token(text)
    assert raised.value.code is ErrorCode.INVALID
