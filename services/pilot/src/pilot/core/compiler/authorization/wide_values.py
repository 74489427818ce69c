"""Values in every spelling that means the same, for rules that deny or ask: who is meant cannot dodge them. Pure.

A host may come with a port, with a dot at its end and with user information before it (RFC 3986 §3.2); a header may
come several times, or as a list (RFC 9110 §5.3): Envoy joins the lines with commas, those of cookies, of which HTTP/2
makes several, with semicolons (RFC 9113 §8.2.3).
"""

from pilot.core.compiler.authorization.matchers import Text, quoted, regex

_USER = "(?:.*@)?"
_PORT = "(?::[0-9]*)?"


def wide_host(value: str) -> Text:
    """A host of a rule, but for `*`; a port that the rule names stays."""
    name, port = value, _PORT
    if not value.endswith(("*", "]")) and ":" in value:
        name, _, number = value.rpartition(":")
        port = f":{quoted(number)}"
    if name.startswith("*"):
        return regex(f"(?i).*{quoted(name[1:])}\\.?{port}")
    if name.endswith("*"):
        return regex(f"(?i){_USER}{quoted(name[:-1])}.*")
    return regex(f"(?i){_USER}{quoted(name)}\\.?{port}")


def wide_list(name: str, value: str) -> Text:
    """A value of that header, but for `*`, as any part of a list."""
    sign = "[;,]" if name.lower() == "cookie" else ","
    before, after = f"(?:.*{sign})?[ \\t]*", f"[ \\t]*(?:{sign}.*)?"
    if value.startswith("*"):
        return regex(f"(?s).*{quoted(value[1:])}{after}")
    if value.endswith("*"):
        return regex(f"(?s){before}{quoted(value[:-1])}.*")
    return regex(f"(?s){before}{quoted(value)}{after}")
