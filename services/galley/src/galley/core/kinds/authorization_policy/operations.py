"""What a request asks for, and templates of paths."""

import re

from meshcore.model.authorization_policy import Operation

from galley.core.rules.report import Report

_ONE = "{*}"
_ANY = "{**}"
_LITERAL = re.compile(r"[A-Za-z0-9\-._~%!$&'()+,;:@=]+")
"""RFC 3986 pchar; `*` is an operator of templates."""


def check_operation(report: Report, path: str, operation: Operation | None) -> None:
    """Says something; ports are numbers, templates of paths can be matched."""
    if operation is None or not any(getattr(operation, name) for name in Operation.model_fields):
        report.error(path, "the operation says nothing", "at least one list of values")
        return
    for name, field in Operation.model_fields.items():
        where = f"{path}.{field.alias}"
        for index, value in enumerate(getattr(operation, name)):
            if not value:
                report.error(f"{where}[{index}]", "the value is empty", "a value")
            elif name in ("ports", "not_ports"):
                _check_port(report, f"{where}[{index}]", value)
            elif name in ("paths", "not_paths") and (fault := template_fault(value)):
                report.error(f"{where}[{index}]", fault, "a path, in which {*} is one segment and a last {**} the rest")


def _check_port(report: Report, path: str, port: str) -> None:
    if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        report.error(path, f"{port!r} is not a port number", "0 to 65535")


def template_fault(path: str) -> str | None:
    """What is wrong with a path that has `{*}` or `{**}` in it, or with the braces of any other."""
    if _ONE not in path and _ANY not in path:
        return f"{path!r} has braces that are no operator" if "{" in path or "}" in path else None
    segments = path.strip("/").split("/")
    for index, segment in enumerate(segments):
        if segment == _ANY:
            if any(operator in later for later in segments[index + 1 :] for operator in (_ONE, _ANY)):
                return f"{path!r} has an operator behind {_ANY}"
        elif segment != _ONE and not _LITERAL.fullmatch(segment):
            return f"{path!r} has a segment that is neither an operator nor literal: {segment!r}"
    return None
