"""Webhooks of a cluster whose control plane is elsewhere: by which address they reach it."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import CONTROL_PLANE_ADDRESS_IS_IP, INVALID_EXTERNAL_CONTROL_PLANE
from galley.core.analysis.reading import at, mappings, text
from galley.core.analysis.resource import Resource

_VALIDATORS = ("istiod-default-validator", "istio-validator")
_INJECTORS = ("istio-sidecar-injector",)


def check_webhook_urls(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Webhooks of Istio that have neither a service nor a URL, or one that is not a host name's."""
    for kind, prefixes in ((VALIDATING_WEBHOOKS, _VALIDATORS), (MUTATING_WEBHOOKS, _INJECTORS)):
        for resource in inputs.of(kind):
            if resource.name.startswith(prefixes):
                yield from _check(resource)


def _check(resource: Resource) -> Iterator[Message]:
    for index, webhook in mappings(resource.body, "webhooks"):
        name = text(webhook, "name")
        url = at(webhook, "clientConfig", "url")
        line = resource.line_of(f"webhooks[{index}].clientConfig")
        if url is None:
            if at(webhook, "clientConfig", "service") is None:
                fix = Fix("Set clientConfig.url to the address of the external control plane.")
                yield Message(INVALID_EXTERNAL_CONTROL_PLANE, resource, ("", name, "is blank"), line, fix)
            continue
        host = _host(str(url))
        if host is None:
            parameters = (url, name, "was provided in an invalid format")
            yield Message(INVALID_EXTERNAL_CONTROL_PLANE, resource, parameters, line)
        elif _is_address(host):
            fix = Fix("Use a host name that stands for this address.")
            yield Message(CONTROL_PLANE_ADDRESS_IS_IP, resource, (url, name), line, fix)


def _host(url: str) -> str | None:
    """The host of a URL; None for what is no URL (by the rules of Go's parser, as far as they matter here)."""
    if any(character.isspace() or not character.isprintable() for character in url) or url.startswith(":"):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname or ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
