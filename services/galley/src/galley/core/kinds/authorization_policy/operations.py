"""What a request asks for, and templates of paths."""

from meshcore.model.authorization_policy import Action, Operation
from meshcore.path_template import template_fault

from galley.core.kinds.authorization_policy.long_values import check_length
from galley.core.rules.report import Report


def check_operation(report: Report, path: str, operation: Operation | None, action: Action) -> None:
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
            check_length(report, f"{where}[{index}]", name.removeprefix("not_"), value, action)


def _check_port(report: Report, path: str, port: str) -> None:
    if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        report.error(path, f"{port!r} is not a port number", "0 to 65535")
