"""Whether RE2, Envoy's library of regular expressions, takes a pattern. Pure."""

from functools import lru_cache

import re2


@lru_cache(maxsize=4096)
def regex_fault(pattern: str) -> str:
    """Why RE2 does not compile it; empty when it does."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return ""
