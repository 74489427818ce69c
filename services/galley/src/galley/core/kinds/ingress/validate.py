"""An Ingress by Kubernetes' rules, and what of it nobody here serves."""

import re

from meshcore.model.ingress import HttpIngressPath, Ingress, IngressBackend, IngressSpec

from galley.core.rules.names import check_fqdn, is_ip, is_label
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_EXACT, _PREFIX, _ANY = "Exact", "Prefix", "ImplementationSpecific"
_WITHIN = ("//", "/./", "/../", "%2f", "%2F")
_AT_THE_END = ("/..", "/.")
_PORT_NAME = re.compile(r"(?=[a-z0-9-]{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def validate(ingress: Ingress, report: Report) -> None:
    """Rules or a default backend, real hosts, absolute paths, backends that name one port."""
    spec = ingress.spec
    if spec.ingress_class_name is not None:
        check_fqdn(report, "spec.ingressClassName", spec.ingress_class_name)
        if CLASS_ANNOTATION in ingress.metadata.annotations:
            path = f"metadata.annotations[{CLASS_ANNOTATION}]"
            report.error(path, "the class is there twice", "this annotation or spec.ingressClassName")
    if spec.default_backend is not None:
        _check_backend(report, "spec.defaultBackend", spec.default_backend)
        report.warn("spec.defaultBackend", "the default backend is not served, as in Istio: use a VirtualService")
    elif not spec.rules:
        report.error("spec", "there is nothing to serve", "rules, or a defaultBackend")
    _check_certificates(spec, report)
    for index, rule in enumerate(spec.rules):
        path = f"spec.rules[{index}]"
        if rule.host:
            _check_host(report, f"{path}.host", rule.host)
        if rule.http is None:
            report.warn(path, "a rule without paths serves nothing")
        elif not rule.http.paths:
            report.error(f"{path}.http.paths", "required", "at least one path")
        for at, item in enumerate(rule.http.paths if rule.http else ()):
            _check_path(report, f"{path}.http.paths[{at}]", item)


def _check_certificates(spec: IngressSpec, report: Report) -> None:
    for index, tls in enumerate(spec.tls):
        path = f"spec.tls[{index}]"
        for at, host in enumerate(tls.hosts):
            _check_host(report, f"{path}.hosts[{at}]", host)
        if not tls.secret_name:
            report.warn(f"{path}.secretName", "without a Secret these hosts are not served in TLS")
        else:
            check_fqdn(report, f"{path}.secretName", tls.secret_name)


def _check_host(report: Report, path: str, host: str) -> None:
    """A name in lower case, which may have `*` for its first label."""
    if is_ip(host):
        report.error(path, f"{host!r} is an address", "a host name")
        return
    rest = host.removeprefix("*.")
    if "*" in rest or rest != rest.lower() or (rest != host and "." not in host):
        report.error(path, f"{host!r} is not a host of an Ingress", "a host name in lower case, or *.DOMAIN")
        return
    check_fqdn(report, path, rest)


def _check_path(report: Report, path: str, item: HttpIngressPath) -> None:
    kind, text = item.path_type, item.path
    if kind is None:
        report.warn(f"{path}.pathType", f"Kubernetes asks for a pathType; without one it is {_ANY}")
    elif kind not in (_EXACT, _PREFIX, _ANY):
        report.error(f"{path}.pathType", f"unsupported value {kind!r}", f"{_EXACT}, {_PREFIX} or {_ANY}")
    if kind in (_EXACT, _PREFIX):
        if not text.startswith("/"):
            report.error(f"{path}.path", f"{text!r} is not absolute", "a path that begins with /")
        for part in _WITHIN:
            if part in text:
                report.error(f"{path}.path", f"{text!r} has {part!r} in it", "a normalised path")
        if text.endswith(_AT_THE_END):
            report.error(f"{path}.path", f"{text!r} does not end in a name", "a normalised path")
    elif kind == _ANY and text and not text.startswith("/"):
        report.error(f"{path}.path", f"{text!r} is not absolute", "a path that begins with /, or none")
    if "?" in text or "#" in text:
        report.warn(f"{path}.path", "a path ends before ? and #: this one takes no request")
    _check_backend(report, f"{path}.backend", item.backend)


def _check_backend(report: Report, path: str, backend: IngressBackend) -> None:
    service = backend.service
    if service is None or backend.resource is not None:
        if service is not None or backend.resource is None:
            report.error(path, "a backend is one thing", "service or resource")
        else:
            report.warn(f"{path}.resource", "only Services are served")
        return
    if not is_label(service.name):
        report.error(f"{path}.service.name", f"{service.name!r} is not a DNS label", "the name of a Service")
    port = service.port
    if bool(port.name) == bool(port.number):
        report.error(f"{path}.service.port", "a port is a number or a name", "one of them")
    elif port.number:
        check_port(report, f"{path}.service.port.number", port.number)
    elif not _PORT_NAME.fullmatch(port.name):
        expected = "at most 15 letters, digits and dashes in lower case"
        report.error(f"{path}.service.port.name", f"{port.name!r} is not the name of a port", expected)
