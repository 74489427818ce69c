"""The rules of a ProxyConfig."""

from meshcore.model.proxy_config import ProxyConfig

from galley.core.rules.label_maps import check_selector
from galley.core.rules.report import Report


def validate(config: ProxyConfig, report: Report) -> None:
    """A selector that selects, a number of threads that can be."""
    spec = config.spec
    if spec.selector is not None:
        check_selector(report, "spec.selector.matchLabels", spec.selector.match_labels)
    if spec.concurrency is not None and spec.concurrency < 0:
        report.error("spec.concurrency", f"{spec.concurrency} is negative", "0 for one thread a core, or more")
