"""The controller of an IngressClass."""

from meshcore.model.ingress import IngressClass

from galley.core.rules.names import domain_fault
from galley.core.rules.report import Report

_LONGEST = 250


def validate(item: IngressClass, report: Report) -> None:
    """A domain and a path: `istio.io/ingress-controller`."""
    text = item.spec.controller
    domain, slash, path = text.partition("/")
    if len(text) > _LONGEST or not slash or not path or domain_fault(domain) is not None:
        expected = f"DOMAIN/PATH of at most {_LONGEST} characters"
        report.error("spec.controller", f"{text[:80]!r} is not the name of a controller", expected)
