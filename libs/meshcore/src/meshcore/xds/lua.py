"""Whether a script is Lua as Envoy reads it: LuaJIT's own parser, which runs nothing. Pure."""

import re
from functools import cache, lru_cache
from typing import Any

_PLACE = re.compile(r"^\[string \"[^\"]*\"\]:(\d+): ")
_COMPILED = "\x1b"
"""What compiled scripts begin with; they are not looked at."""


@lru_cache(maxsize=1024)
def script_fault(code: str) -> str:
    """Why it does not parse, with the line; empty when it does. What it would do when it runs is not asked."""
    if code.startswith(_COMPILED):
        return ""
    from lupa.luajit21 import LuaSyntaxError

    try:
        _parser().compile(code)
    except LuaSyntaxError as error:
        return _PLACE.sub(r"line \1: ", str(error))
    return ""


@cache
def _parser() -> Any:
    from lupa.luajit21 import LuaRuntime

    return LuaRuntime(register_eval=False, register_builtins=False)
