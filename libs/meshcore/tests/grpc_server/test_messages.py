"""Messages in whatever pieces their content comes."""

from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.grpc_server.messages import Messages, prefix


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=20), max_size=8), st.lists(st.integers(0, 200), max_size=6), st.binary(max_size=4))
def test_pieces_make_no_difference(sent, cuts, rest):
    content = b"".join(prefix(one) + one for one in sent) + rest
    places = sorted(min(one, len(content)) for one in cuts)
    messages, found = Messages(100, "identity"), []
    for begin, end in zip([0, *places], [*places, len(content)], strict=True):
        found += messages.add(content[begin:end])
    assert found == sent
    assert messages.partial == len(rest)
