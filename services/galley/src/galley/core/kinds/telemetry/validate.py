"""Providers, sampling, tags and filters of a Telemetry."""

from meshcore.cel_expression import evaluation_fault
from meshcore.model.telemetry import AccessLogging, Metrics, Telemetry, Tracing
from meshcore.xds.command_operators import value_fault

from galley.core.rules.policy_target import check_policy_target
from galley.core.rules.report import Report


def validate(telemetry: Telemetry, report: Report) -> None:
    """Targets and every setting; only the first tracing entry and its first provider are used (warned of)."""
    spec = telemetry.spec
    check_policy_target(report, spec.selector, spec.target_ref, spec.target_refs)
    if len(spec.tracing) > 1:
        report.warn("spec.tracing", "several tracing entries are not supported: only one is used")
    for index, tracing in enumerate(spec.tracing):
        _check_tracing(report, f"spec.tracing[{index}]", tracing)
    for index, metrics in enumerate(spec.metrics):
        _check_metrics(report, f"spec.metrics[{index}]", metrics)
    for index, logging in enumerate(spec.access_logging):
        _check_logging(report, f"spec.accessLogging[{index}]", logging)


def _check_tracing(report: Report, path: str, tracing: Tracing) -> None:
    if len(tracing.providers) > 1:
        report.warn(f"{path}.providers", "several providers are not supported: only one is used")
    if "" in tracing.custom_tags:
        report.error(f"{path}.customTags", "a tag has no name", "a name")
    for name, tag in tracing.custom_tags.items():
        where = f"{path}.customTags.{name}"
        if tag.formatter is not None and (fault := value_fault(tag.formatter.value)):
            report.error(f"{where}.formatter.value", fault, "a format that Envoy takes")
        if tag.header is not None and any(char in tag.header.name for char in "\0\r\n"):
            report.error(f"{where}.header.name", "a header's name has a line end or a NUL", "a name")


def _check_metrics(report: Report, path: str, metrics: Metrics) -> None:
    for index, override in enumerate(metrics.overrides):
        where = f"{path}.overrides[{index}].tagOverrides"
        if "" in override.tag_overrides:
            report.warn(where, "a tag has no name")
        for name, tag in override.tag_overrides.items():
            if tag.value and (fault := value_fault(f"%CEL({tag.value})%")):
                report.error(f"{where}.{name}.value", fault, "a CEL expression that Envoy evaluates")


def _check_logging(report: Report, path: str, logging: AccessLogging) -> None:
    if logging.filter is not None and (fault := evaluation_fault(logging.filter.expression)):
        report.error(f"{path}.filter.expression", fault, "a CEL expression that Envoy evaluates")
