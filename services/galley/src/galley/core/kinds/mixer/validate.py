"""What a handler, an instance, a rule and a manifest must say. What they refer to may come later."""

import re

from meshcore.model.mixer.adapters import PARAMETERS
from meshcore.model.mixer.policy import AttributeManifest, Handler, Instance, Rule, ValueType
from meshcore.model.validation import violations_of
from pydantic import ValidationError

from galley.core.rules.headers import is_token
from galley.core.rules.report import Report

_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*")


def check_handler(handler: Handler, report: Report) -> None:
    """An adapter, and the parameters that it takes when it is one of Mixer's own."""
    spec = handler.spec
    if not spec.compiled_adapter and not spec.adapter:
        report.error("spec.compiledAdapter", "no adapter", "compiledAdapter or adapter")
    model = PARAMETERS.get(spec.compiled_adapter or "")
    if model is None:
        return
    try:
        model.model_validate(dict(spec.params))
    except ValidationError as error:
        for violation in violations_of(error):
            report.error(f"spec.params.{violation.field}", violation.message, violation.expected)


def check_instance(instance: Instance, report: Report) -> None:
    """A template."""
    if not instance.spec.compiled_template and not instance.spec.template:
        report.error("spec.compiledTemplate", "no template", "compiledTemplate or template")
    for name in instance.spec.attribute_bindings:
        _check_attribute(report, f"spec.attributeBindings[{name}]", name)


def check_rule(rule: Rule, report: Report) -> None:
    """Actions that name somebody, names that are there once, headers that are headers."""
    spec = rule.spec
    names: set[str] = set()
    for index, action in enumerate(spec.actions):
        path = f"spec.actions[{index}]"
        if not action.handler:
            report.error(f"{path}.handler", "required", "the name of a handler")
        if action.name and action.name in names:
            report.error(f"{path}.name", f"{action.name!r} is there twice", "a name once")
        names.add(action.name)
    for field, operations in (
        ("requestHeaderOperations", spec.request_header_operations),
        ("responseHeaderOperations", spec.response_header_operations),
    ):
        for index, operation in enumerate(operations):
            if not operation.name.startswith(":") and not is_token(operation.name):
                report.error(f"spec.{field}[{index}].name", f"{operation.name!r} is not the name of a header")
    if not spec.actions and not spec.request_header_operations and not spec.response_header_operations:
        report.warn("spec", "the rule does nothing: it has neither actions nor header operations")


def check_manifest(manifest: AttributeManifest, report: Report) -> None:
    """Attributes with names and types."""
    for name, attribute in manifest.spec.attributes.items():
        _check_attribute(report, f"spec.attributes[{name}]", name)
        if attribute.value_type is ValueType.VALUE_TYPE_UNSPECIFIED:
            report.error(f"spec.attributes[{name}].valueType", "required", "a type")


def _check_attribute(report: Report, path: str, name: str) -> None:
    if not _ATTRIBUTE.fullmatch(name):
        report.error(path, f"{name!r} is not the name of an attribute", "words with '.' or '-' between them")
