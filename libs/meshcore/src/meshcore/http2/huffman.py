"""The Huffman code of HPACK (RFC 7541 §5.2, appendix B), read half a byte at a time. Pure.

The code is canonical: its lengths say it all, since within a length codes are given out in the order of the symbols.
"""

from functools import cache
from itertools import accumulate, groupby

_EOS = 256
_LENGTHS = (
    *(13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28),
    *(28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28),
    *(6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6),
    *(5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10),
    *(13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7),
    *(7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6),
    *(15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5),
    *(6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28),
    *(20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23),
    *(24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24),
    *(22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23),
    *(21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23),
    *(26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25),
    *(19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27),
    *(20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23),
    *(26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26),
    30,
)
"""Bits of the code of each byte, and of the end, which is never sent."""


@cache
def codes() -> tuple[tuple[int, int], ...]:
    """`(code, bits)` of every byte and of the end."""
    found: dict[int, tuple[int, int]] = {}
    code, before = 0, 0
    for symbol in sorted(range(len(_LENGTHS)), key=lambda one: (_LENGTHS[one], one)):
        bits = _LENGTHS[symbol]
        code = (code + 1 if found else 0) << (bits - before)
        before = bits
        found[symbol] = (code, bits)
    return tuple(found[symbol] for symbol in range(len(_LENGTHS)))


_Step = tuple[int, bytes, bool]
"""The next node, what was read on the way to it, and whether a text may end there. Node -1 is an error."""


@cache
def _steps() -> tuple[tuple[_Step, ...], ...]:
    """For every inner node of the tree what each half byte leads to."""
    children: list[list[int]] = [[0, 0]]
    for symbol, (code, bits) in enumerate(codes()):
        node = 0
        for place in range(bits - 1, 0, -1):
            bit = code >> place & 1
            if not children[node][bit]:
                children.append([0, 0])
                children[node][bit] = len(children) - 1
            node = children[node][bit]
        children[node][code & 1] = -1 - symbol
    ends = _padding_nodes(children)
    return tuple(tuple(_step(children, ends, node, half) for half in range(16)) for node in range(len(children)))


def _padding_nodes(children: list[list[int]]) -> frozenset[int]:
    """Where fewer than eight bits of padding, all ones, lead: only there a text may end."""
    ones = accumulate(range(7), lambda node, _: children[node][1], initial=0)
    return frozenset(node for node, _ in groupby(ones))


def _step(children: list[list[int]], ends: frozenset[int], node: int, half: int) -> _Step:
    read = bytearray()
    for place in (3, 2, 1, 0):
        node = children[node][half >> place & 1]
        if node < 0:
            if node == -1 - _EOS:
                return -1, b"", False
            read.append(-1 - node)
            node = 0
    return node, bytes(read), node in ends


def decode(data: bytes) -> bytes:
    """The text; ValueError when it is none (the end inside, padding of eight bits or of zeros)."""
    steps = _steps()
    node, ends = 0, True
    read = []
    for byte in data:
        node, first, _ = steps[node][byte >> 4]
        if node < 0:
            raise ValueError("the end in the middle of a text")
        node, second, ends = steps[node][byte & 15]
        if node < 0:
            raise ValueError("the end in the middle of a text")
        read.append(first)
        read.append(second)
    if not ends:
        raise ValueError("a text that is cut off")
    return b"".join(read)
