"""Whether RE2, Envoy's library of regular expressions, takes a pattern, and Envoy what RE2 makes of it. Pure."""

from functools import lru_cache

import re2

MOST_INSTRUCTIONS = 32768
"""`re2.max_program_size.error_level` of the proxies' bootstrap, as in Istio."""


@lru_cache(maxsize=4096)
def regex_fault(pattern: str) -> str:
    """Why Envoy does not take it; empty when it does."""
    options = re2.Options()
    options.log_errors = False
    try:
        size = re2.compile(pattern, options).programsize
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return f"it compiles to {size} instructions, and {MOST_INSTRUCTIONS} is most" if size > MOST_INSTRUCTIONS else ""
