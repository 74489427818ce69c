"""Templates of paths in policies: `{*}` is one segment, `{**}` any number of them.

What Envoy's uri_template cannot match is a fault here: an empty segment or a template without a slash in front makes it
crash (Envoy 1.40), the rest makes it refuse the listener. Pure.
"""

import re

ONE, ANY = "{*}", "{**}"
MAX_LENGTH = 256
"""Of the template as Envoy writes it, with `*` and `**`."""
_LITERAL = re.compile(r"[A-Za-z0-9\-._~%!$&'()+,;:@=]+")
"""RFC 3986 pchar; `*` is an operator of templates."""


def is_template(path: str) -> bool:
    """Whether a path has operators of templates in it."""
    return ONE in path or ANY in path


def envoy_template(path: str) -> str:
    """As Envoy writes it."""
    return path.replace(ANY, "**").replace(ONE, "*")


def template_fault(path: str) -> str | None:
    """What is wrong with a path that has `{*}` or `{**}` in it, or with the braces of any other."""
    if not is_template(path):
        return f"{path!r} has braces that are no operator" if "{" in path or "}" in path else None
    if not path.startswith("/"):
        return f"{path!r} does not begin with /"
    if len(envoy_template(path)) > MAX_LENGTH:
        return f"{path[:40]!r}... is longer than {MAX_LENGTH} characters"
    segments = path[1:].removesuffix("/").split("/")
    for index, segment in enumerate(segments):
        if segment == ANY:
            if any(operator in later for later in segments[index + 1 :] for operator in (ONE, ANY)):
                return f"{path!r} has an operator behind {ANY}"
        elif segment != ONE and not _LITERAL.fullmatch(segment):
            return f"{path!r} has a segment that is neither an operator nor literal: {segment!r}"
    return None
