import json

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st
from injector.core.patch import json_patch

values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.floats(0, 2, width=16) | st.sampled_from(["", "a/b", "~"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "a/b", "~", ""]), inner, max_size=3)
    ),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from(["metadata", "spec", "a/b", "~"]), values, max_size=3)


@given(documents, documents)
def test_applying_the_patch_gives_the_target(before, after):
    operations = json_patch(before, after)
    result = jsonpatch.JsonPatch(operations).apply(before)
    assert json.dumps(result, sort_keys=True) == json.dumps(after, sort_keys=True)


def test_no_change_is_no_operation():
    assert json_patch({"spec": {"a": [1]}}, {"spec": {"a": [1]}}) == []
