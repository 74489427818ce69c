import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.http2 import huffman
from meshcore.http2.hpack import Decoder, HeadersTooLarge, encode

TEXTS = st.binary(max_size=60)


def coded(data: bytes) -> bytes:
    """Huffman code, bit by bit from the table of codes, padded with ones."""
    bits = "".join(f"{code:0{size}b}" for code, size in (huffman.codes()[byte] for byte in data))
    bits += "1" * (-len(bits) % 8)
    return int(bits or "0", 2).to_bytes(len(bits) // 8)


def test_the_code_is_whole_and_free_of_prefixes():
    assert sum(2.0**-size for _, size in huffman.codes()) == 1
    assert huffman.codes()[ord("a")] == (0b00011, 5)
    assert huffman.codes()[ord("~")] == (0x1FFD, 13)
    assert huffman.codes()[10] == (0x3FFFFFFC, 30)
    assert huffman.codes()[256] == (0x3FFFFFFF, 30)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXTS)
def test_what_is_coded_is_read_back(data):
    assert huffman.decode(coded(data)) == data


@pytest.mark.parametrize("data", [b"\xff" * 4, b"\xff\xff\xff\xfc", b"\x00", b"\xff", coded(b"a") + b"\xff"])
def test_a_text_with_an_end_inside_or_wrong_padding_is_none(data):
    with pytest.raises(ValueError, match=r"end in the middle|cut off"):
        huffman.decode(data)


def test_the_examples_of_rfc_7541_appendix_c():
    """C.4: three requests of one connection; C.6.1: a response."""
    decoder = Decoder(1000)
    first = ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"))
    assert decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == first
    second = decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf"))
    assert second == (*first, ("cache-control", "no-cache"))
    third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third[1:] == (
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    )
    response = Decoder(1000).decode(
        bytes.fromhex(
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
        )
    )
    assert response[:3] == (
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    )


def test_a_block_is_read_once_until_the_table_changes():
    decoder = Decoder(1000)
    adds = bytes.fromhex("400161") + b"\x01b"
    assert decoder.decode(adds) == (("a", "b"),)
    assert decoder.decode(b"\xbe") is decoder.decode(b"\xbe")
    assert decoder.decode(bytes.fromhex("400163") + b"\x01d") == (("c", "d"),)
    assert decoder.decode(b"\xbe\xbf") == (("c", "d"), ("a", "b"))


def test_entries_leave_the_table_for_newer_ones_and_when_it_shrinks():
    decoder = Decoder(100_000)
    large = b"\x40\x01a\x7f" + b"\x81\x0f" + b"x" * 2048
    for _ in range(3):
        decoder.decode(large)
    with pytest.raises(ValueError, match="beyond the table"):
        decoder.decode(b"\xbf")
    assert decoder.decode(b"\xbe")[0][0] == "a"
    decoder.decode(b"\x20")
    with pytest.raises(ValueError, match="beyond the table"):
        decoder.decode(b"\xbe")
    too_large = b"\x40\x01a\x7f" + b"\xff\x1f" + b"x" * (0x7F + 0x7F + (0x1F << 7))
    assert decoder.decode(too_large)[0][0] == "a"


@pytest.mark.parametrize(
    "block",
    [
        "80",
        "be",
        "3fe21f",
        "8220",
        "00",
        "0001",
        "000161",
        "00016105",
        "ffffffffffffff",
        "0085ffffffffff00",
        "1f",
    ],
)
def test_a_malformed_block_is_refused(block):
    with pytest.raises(ValueError, match=r".+"):
        Decoder(1000).decode(bytes.fromhex(block))


def test_a_list_is_bounded_however_small_its_block_is():
    decoder = Decoder(8192)
    decoder.decode(b"\x40\x01a\x7f\x81\x0f" + b"x" * 2048)
    with pytest.raises(HeadersTooLarge):
        decoder.decode(b"\xbe" * 10)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_no_block_makes_it_fail_otherwise(block):
    try:
        Decoder(4096).decode(block)
    except (ValueError, HeadersTooLarge):
        return


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.text("abc-", min_size=1), st.text("abcXYZ 0", max_size=300)), max_size=8))
def test_what_is_written_is_read_back(headers):
    headers = ((":status", "200"), (":status", "415"), *headers)
    assert Decoder(100_000).decode(encode(headers)) == headers
