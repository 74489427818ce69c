"""A Wasm module made by hand, so that no compiler is needed: an HTTP filter that adds one response header."""

from __future__ import annotations

_RESPONSE_HEADERS = 2
_FIRST_TEXT = 1024
_I32, _FUNCTION, _END = b"\x7f", b"\x60", b"\x0b"


def header_adding_module(name: str, value: str) -> bytes:
    """Proxy-Wasm ABI 0.2.1: `proxy_on_response_headers` calls `proxy_add_header_map_value` and goes on."""
    texts = (name + value).encode()
    no, one, three, five = (_FUNCTION + _vector([_I32] * count) for count in (0, 1, 3, 5))
    types = [no + _vector([]), one + _vector([_I32]), three + _vector([_I32]), five + _vector([_I32])]
    add_header = _text("env") + _text("proxy_add_header_map_value") + b"\x00" + _number(3)
    exports = [
        _text("memory") + b"\x02\x00",
        _text("proxy_abi_version_0_2_1") + b"\x00" + _number(1),
        _text("proxy_on_memory_allocate") + b"\x00" + _number(2),
        _text("proxy_on_response_headers") + b"\x00" + _number(3),
    ]
    arguments = [_RESPONSE_HEADERS, _FIRST_TEXT, len(name), _FIRST_TEXT + len(name), len(value)]
    calls = b"".join(b"\x41" + _signed(item) for item in arguments) + b"\x10\x00\x1a\x41\x00"
    bodies = [b"", b"\x41" + _signed(4096), calls]
    sections = {
        1: _vector(types),
        2: _vector([add_header]),
        3: _vector([_number(0), _number(1), _number(2)]),
        5: _vector([b"\x00\x01"]),
        7: _vector(exports),
        10: _vector([_sized(b"\x00" + body + _END) for body in bodies]),
        11: _vector([b"\x00\x41" + _signed(_FIRST_TEXT) + _END + _sized(texts)]),
    }
    return b"\0asm\1\0\0\0" + b"".join(bytes([kind]) + _sized(body) for kind, body in sections.items())


def _number(value: int) -> bytes:
    """LEB128, unsigned."""
    found = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        found.append(low | (0x80 if value else 0))
        if not value:
            return bytes(found)


def _signed(value: int) -> bytes:
    """LEB128, signed, of a number that is not negative."""
    found = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        done = value == 0 and not low & 0x40
        found.append(low | (0 if done else 0x80))
        if done:
            return bytes(found)


def _vector(items: list[bytes]) -> bytes:
    return _number(len(items)) + b"".join(items)


def _sized(body: bytes) -> bytes:
    return _number(len(body)) + body


def _text(text: str) -> bytes:
    return _sized(text.encode())
