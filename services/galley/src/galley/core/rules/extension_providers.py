"""Extension providers of the mesh config. What is wrong with one does not refuse the mesh config: policies that name it
fail closed, and everything else goes on."""

from collections.abc import Iterable

from meshcore.model.extension_provider import ExtAuthzGrpc, ExtAuthzHttp, ExtensionProvider, ProviderService
from meshcore.xds.provider_faults import provider_faults
from pydantic.alias_generators import to_camel

from galley.core.rules.names import domain_fault, is_ip
from galley.core.rules.ports import check_port
from galley.core.rules.quantities import check_duration
from galley.core.rules.report import Report
from galley.core.rules.scoped_hosts import check_scoped_host

_STATUS_CODES = frozenset(
    (
        *(100, *range(200, 209), 226, *range(300, 306), 307, 308, *range(400, 418), *range(421, 425), 426, 428, 429),
        *(431, *range(500, 509), 510, 511),
    )
)
"""What Envoy can answer with (envoy.type.v3.StatusCode)."""


def check_extension_providers(report: Report, path: str, providers: Iterable[ExtensionProvider]) -> None:
    """Every provider, and that no two have one name."""
    seen: set[str] = set()
    for index, provider in enumerate(providers):
        where = f"{path}[{index}]"
        if provider.name in seen:
            report.error(f"{where}.name", f"{provider.name!r} is there twice", "a name once")
        seen.add(provider.name)
        check_extension_provider(report, where, provider)


def check_extension_provider(report: Report, path: str, provider: ExtensionProvider) -> None:
    """A name, one provider, and a service that can be found."""
    if not provider.name:
        report.error(f"{path}.name", "required", "a name")
    settings = {name: getattr(provider, name) for name in ExtensionProvider.model_fields if name != "name"}
    if not any(value is not None for value in settings.values()):
        report.error(path, "no provider", "one of the kinds of providers")
    for name, value in settings.items():
        where = f"{path}.{to_camel(name)}"
        if isinstance(value, ProviderService):
            _check_service(report, f"{where}.service", value.service)
            check_port(report, f"{where}.port", value.port)
        if isinstance(value, ExtAuthzGrpc):
            _check_ext_authz(report, where, value)
    for where, fault in provider_faults(provider):
        report.error(f"{path}.{where}", fault, "what Envoy takes: nothing is sent of this provider otherwise")
    otlp = provider.opentelemetry
    if otlp is not None and otlp.grpc is not None and otlp.http is not None:
        report.error(f"{path}.opentelemetry", "grpc and http are both set", "one of them")
    if provider.sds is not None and not provider.sds.name:
        report.error(f"{path}.sds.name", "required", "a name")


def _check_service(report: Report, path: str, service: str) -> None:
    if "/" in service:
        check_scoped_host(report, path, service, at_gateway=False)
    elif not is_ip(service) and domain_fault(service):
        report.error(path, f"{service!r} is not the name of a service", "[NAMESPACE/]HOST, or an IP address")


def _check_ext_authz(report: Report, path: str, provider: ExtAuthzGrpc) -> None:
    check_duration(report, f"{path}.timeout", provider.timeout)
    code = provider.status_on_error
    if code and not (code.isascii() and code.isdecimal() and int(code) in _STATUS_CODES):
        report.error(f"{path}.statusOnError", f"{code!r} is not the status of an answer", "a known HTTP status")
    if isinstance(provider, ExtAuthzHttp) and provider.path_prefix and not provider.path_prefix.startswith("/"):
        report.error(f"{path}.pathPrefix", f"{provider.path_prefix!r} is not a path", "a path that begins with '/'")
