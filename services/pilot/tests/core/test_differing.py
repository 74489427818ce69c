"""Which entries of two mappings differ."""

from hypothesis import given
from hypothesis import strategies as st
from pilot.core.differing import differing

VALUES = [["a"], ["a"], ["b"]]
"""Two of them are equal, and not the same."""
mappings = st.dictionaries(st.integers(0, 5), st.sampled_from(VALUES))


@given(mappings, mappings)
def test_it_is_every_key_with_another_object(before, after):
    assert differing(before, after) == {key for key in range(6) if before.get(key) is not after.get(key)}
