"""Hosts with the namespace they are taken from: `NAMESPACE/HOST`, in Gateways and in a Sidecar's egress."""

from galley.core.rules.names import check_wildcard_host, is_ip, is_label, is_partial_wildcard
from galley.core.rules.report import Report

_FORM = "NAMESPACE/HOST"


def check_scoped_host(report: Report, path: str, text: str, *, at_gateway: bool) -> bool:
    """At a gateway the namespace may be left out and the host may be an address; in a Sidecar `~` leaves out.

    The result says whether both parts could be read.
    """
    place, slash, host = text.partition("/")
    if not slash:
        if not at_gateway:
            report.error(path, f"{text!r} is not of the form {_FORM}", _FORM)
            return False
        host = text
    elif not place or not host:
        report.error(path, f"{text!r} is not of the form {_FORM}", _FORM)
        return False
    else:
        _check_namespace(report, path, place, at_gateway=at_gateway)
    if host != "*" and "." not in host:
        report.error(path, f"{host!r} is a short name", "a full name such as reviews.shop.svc.cluster.local")
    elif is_partial_wildcard(host):
        report.error(path, f"{host!r} has a partial wildcard", "* or *.domain")
    elif not (at_gateway and is_ip(host)):
        check_wildcard_host(report, path, host)
    return True


def _check_namespace(report: Report, path: str, place: str, *, at_gateway: bool) -> None:
    bare = place if at_gateway else place.removeprefix("~")
    if bare in ("*", ".") or is_label(bare) or (place == "~" and not at_gateway):
        return
    expected = "a namespace, '.' or '*'" + ("" if at_gateway else ", or '~' and one of them")
    report.error(path, f"{place!r} is not a namespace", expected)
