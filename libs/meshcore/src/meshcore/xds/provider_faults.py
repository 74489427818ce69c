"""What of an extension provider Envoy refuses, so that nothing is sent that names it. Pure.

One such provider would cost every listener that uses it, for some values the whole Envoy.
"""

from collections.abc import Iterator
from typing import Any

from meshcore.model.extension_provider import ExtAuthzHttp, ExtensionProvider, LogFormat, ProviderHeader
from meshcore.xds.command_operators import value_fault

_LINE_ENDS = "\0\r\n"


def provider_faults(provider: ExtensionProvider) -> Iterator[tuple[str, str]]:
    """Paths inside of the provider, and why."""
    file, otel = provider.envoy_file_access_log, provider.envoy_otel_als
    if file is not None:
        yield from _format("envoyFileAccessLog.logFormat", file.log_format)
    if otel is not None:
        yield from _format("envoyOtelAls.logFormat", otel.log_format)
    if provider.zipkin is not None:
        yield from _headers("zipkin.headers", provider.zipkin.headers)
    tracer = provider.opentelemetry
    if tracer is not None and tracer.http is not None:
        yield from _headers("opentelemetry.http.headers", tracer.http.headers)
    if tracer is not None and tracer.grpc is not None:
        yield from _headers("opentelemetry.grpc.initialMetadata", tracer.grpc.initial_metadata, over_grpc=True)
    sampler = tracer.dynatrace_sampler if tracer is not None else None
    if sampler is not None and sampler.http_service is not None and sampler.http_service.http is not None:
        path = "opentelemetry.dynatraceSampler.httpService.http.headers"
        yield from _headers(path, sampler.http_service.http.headers)
    if provider.envoy_ext_authz_http is not None:
        yield from authorizer_faults(provider.envoy_ext_authz_http, "envoyExtAuthzHttp.")


def authorizer_faults(settings: ExtAuthzHttp, path: str = "") -> Iterator[tuple[str, str]]:
    """The same of an authorizer over HTTP."""
    for name, value in settings.include_additional_headers_in_check.items():
        where = f"{path}includeAdditionalHeadersInCheck.{name}"
        if name.startswith(":") or name.lower() == "host":
            yield where, "Envoy lets nobody change this header"
        yield from _header(where, name, value)


def _format(path: str, form: LogFormat | None) -> Iterator[tuple[str, str]]:
    if form is None:
        return
    if form.text and (fault := value_fault(form.text)):
        yield f"{path}.text", fault
    yield from _labels(f"{path}.labels", form.labels or {})


def _labels(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _labels(f"{path}.{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _labels(f"{path}[{index}]", item)
    elif isinstance(value, str) and (fault := value_fault(value)):
        yield path, fault


def _headers(path: str, headers: tuple[ProviderHeader, ...], *, over_grpc: bool = False) -> Iterator[tuple[str, str]]:
    for index, header in enumerate(headers):
        if header.value is None:
            continue
        where = f"{path}[{index}]"
        yield from _header(where, header.name, header.value)
        if over_grpc and "%CEL(" in header.value:
            yield f"{where}.value", "Envoy 1.40 ends when metadata of gRPC has a CEL expression"


def _header(path: str, name: str, value: str) -> Iterator[tuple[str, str]]:
    if not name or any(char in name for char in _LINE_ENDS):
        yield path, f"{name!r} is not the name of a header"
    elif any(char in value for char in _LINE_ENDS):
        yield path, "a header's value has a line end or a NUL"
    elif fault := value_fault(value):
        yield path, fault
