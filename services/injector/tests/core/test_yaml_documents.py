import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from injector.core.yaml_documents import read_document, split_documents, write_document

lines = st.sampled_from(
    ["a: 1\n", "---\n", "--- # c\n", "\n", "# c\n", "---\r\n", "  ---\n", "--- x\n", "b: |\n", "---"]
)


@given(st.lists(lines, max_size=12).map("".join))
def test_splitting_loses_nothing(text):
    assert "".join(one.separator + one.text for one in split_documents(text)) == text


def test_scalars_mean_what_kubernetes_means():
    text = "{a: 2001-01-01, b: 12:30, c: 0644, d: 1e3, e: 0x10, f: 1.5, g: yes, h: ~, i: 1_000, j: =}"
    assert read_document(text) == {
        "a": "2001-01-01", "b": "12:30", "c": 420, "d": 1000.0, "e": 16, "f": 1.5, "g": True, "h": None,
        "i": "1_000", "j": "=",
    }  # fmt: skip


def test_aliases_may_not_stand_for_more_than_fits_into_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(yaml.YAMLError, match="expand"):
        read_document("\n".join(lines))
    with pytest.raises(yaml.YAMLError):
        read_document("&a [*a]")
    with pytest.raises(yaml.YAMLError):
        read_document("[" * 10_000)
    assert read_document("a: &a {b: 1}\nc: *a") == {"a": {"b": 1}, "c": {"b": 1}}


def test_what_is_written_is_read_back():
    value = {"a": "2001-01-01", "b": "12:30", "c": "0644", "d": "yes", "e": ["x", {"f": "multi\nline\n"}], "g": "é"}
    assert read_document(write_document(value)) == value
    shared = {"k": 1}
    assert "&" not in write_document({"a": shared, "b": shared})
