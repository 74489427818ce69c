"""RequestAuthentications of a class of proxies as one configuration of Envoy's JWT filter (security.md §6). Pure.

Every rule is a provider. A request without a token passes, and so does one whose tokens are good; a bad one fails.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2
from google.protobuf import empty_pb2
from meshcore.errors import MeshError
from meshcore.model import RequestAuthentication
from meshcore.model.request_authentication import JwtRule
from meshcore.xds.names import outbound_cluster

from pilot.core.compiler.context import Compilation
from pilot.core.compiler.jwt_claims import PAYLOAD
from pilot.core.compiler.messages import duration
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.issuer_keys import FETCH_TIMEOUT, PLACEHOLDER, KeyFetching, KeySource, inline_keys, key_source
from pilot.core.registry import Service

_SPACE_DELIMITED = ("permission", "scope")
_REMOTE_CACHE_SECONDS = 300
_Requirement = config_pb2.JwtRequirement
_PORTS = {"http": 80, "https": 443}
_ERROR = Severity.ERROR
_ENDS_OF_LINE = re.compile(r"[\0\r\n]")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One rule and the policy that it is of."""

    config: Config[RequestAuthentication]
    rule: JwtRule


def issuers_of(configs: Sequence[Config[RequestAuthentication]]) -> tuple[Issuer, ...]:
    """The rules of these policies, by issuer; of one issuer in the order of the policies."""
    found = [Issuer(config, rule) for config in configs for rule in config.object.spec.jwt_rules]
    return tuple(sorted(found, key=lambda item: item.rule.issuer or ""))


def jwt_authentication(
    work: Compilation, issuers: Sequence[Issuer], *, gateway: bool
) -> tuple[config_pb2.JwtAuthentication, tuple[Diagnostic, ...]]:
    """The filter's configuration, and what of the policies cannot be honoured; `issuers` is not empty."""
    made = config_pb2.JwtAuthentication(bypass_cors_preflight=True)
    problems: list[Diagnostic] = []
    names = [f"origins-{index}" for index in range(len(issuers))]
    for name, issuer in zip(names, issuers, strict=True):
        provider = _provider(issuer.rule)
        provider.clear_route_cache = gateway
        problems += _add_keys(work, issuer, provider)
        made.providers[name].CopyFrom(provider)
    rule = made.rules.add()
    rule.match.prefix = "/"
    rule.requires.CopyFrom(_requirement(names))
    return made, tuple(problems)


def space_delimited_claims(added: Sequence[str]) -> list[str]:
    """The claims whose text is a list of words, sorted."""
    return sorted({*_SPACE_DELIMITED, *added})


def _requirement(names: Sequence[str]) -> config_pb2.JwtRequirement:
    """One issuer: its token or none. Several: a good token of any of them; else none at all of each."""
    missing = _Requirement(allow_missing=empty_pb2.Empty())
    own = [_Requirement(provider_name=name) for name in names]
    if len(own) == 1:
        return _any([*own, missing])
    each = [_any([item, missing]) for item in own]
    return _any([*own, _Requirement(requires_all=config_pb2.JwtRequirementAndList(requirements=each))])


def _any(items: Sequence[config_pb2.JwtRequirement]) -> config_pb2.JwtRequirement:
    return _Requirement(requires_any=config_pb2.JwtRequirementOrList(requirements=items))


def _provider(rule: JwtRule) -> config_pb2.JwtProvider:
    provider = config_pb2.JwtProvider(
        issuer=rule.issuer or "",
        audiences=rule.audiences,
        from_headers=[{"name": line(item.name), "value_prefix": line(item.prefix)} for item in rule.from_headers],
        from_params=rule.from_params,
        from_cookies=rule.from_cookies,
        forward=rule.forward_original_token,
        forward_payload_header=line(rule.output_payload_to_header),
        payload_in_metadata=PAYLOAD,
        claim_to_headers=[
            {"header_name": item.header, "claim_name": item.claim} for item in rule.output_claim_to_headers
        ],
    )
    provider.normalize_payload_in_metadata.space_delimited_claims.extend(
        space_delimited_claims(rule.space_delimited_claims)
    )
    return provider


def line(text: str) -> str:
    """No header has these characters, and Envoy refuses the listener for them."""
    return _ENDS_OF_LINE.sub("_", text)


def _add_keys(work: Compilation, issuer: Issuer, provider: config_pb2.JwtProvider) -> Iterator[Diagnostic]:
    rule, config = issuer.rule, issuer.config
    source = key_source(rule)
    if source is None:
        try:
            provider.local_jwks.inline_string = inline_keys(rule.jwks or "")
        except MeshError as error:
            provider.local_jwks.inline_string = PLACEHOLDER
            text = f"The keys of {_called(rule)} cannot be used ({error.detail}): its tokens are refused."
            yield Diagnostic("jwks-not-usable", config.path, text, _ERROR)
        return
    keys = work.snapshot.keys
    by_envoy = bool(source.uri) and keys.fetching is not KeyFetching.PILOT
    cluster = _cluster(work, config, source) if by_envoy else ""
    if by_envoy and not cluster and keys.fetching is KeyFetching.ENVOY:
        text = f"Envoy cannot fetch {source.uri}: no service of the mesh that this proxy sees has that host and port."
        yield Diagnostic("jwks-not-reachable", config.path, text, _ERROR)
        cluster = outbound_cluster(_port(source), "", urlsplit(source.uri).hostname or "")  # a dead one, as Istio's
    if cluster:
        remote = provider.remote_jwks
        remote.http_uri.uri = source.uri
        remote.http_uri.cluster = cluster
        remote.http_uri.timeout.CopyFrom(duration(rule.timeout or FETCH_TIMEOUT))
        remote.cache_duration.seconds = _REMOTE_CACHE_SECONDS
        return
    provider.local_jwks.inline_string = keys.sets.get(source, PLACEHOLDER)
    if source not in keys.sets:
        why = keys.faults.get(source, "they have not been fetched")
        text = f"There are no keys of {_called(rule)} from {source.shown} ({why}): its tokens are refused."
        yield Diagnostic("jwks-not-fetched", config.path, text, _ERROR)


def _called(rule: JwtRule) -> str:
    return f"issuer {rule.issuer}" if rule.issuer else "the rule without an issuer"


def _cluster(work: Compilation, config: Config[RequestAuthentication], source: KeySource) -> str:
    """The cluster of the service behind a URI; empty when the class does not see one."""
    service = _service(work, urlsplit(source.uri).hostname or "", config.namespace)
    if service is None or service.port(_port(source)) is None:
        return ""
    return outbound_cluster(_port(source), "", service.host)


def _port(source: KeySource) -> int:
    parts = urlsplit(source.uri)
    return parts.port or _PORTS.get(parts.scheme, 0)


def _service(work: Compilation, host: str, namespace: str) -> Service | None:
    """By any of the names under which a Kubernetes service is called."""
    domain = work.proxy_class.domain
    names = (host, f"{host}.svc.{domain}", f"{host}.{domain}")
    found = (work.scope.by_host.get(name) for name in names)
    return next((item for item in found if item is not None), None) or work.service(host, namespace)
