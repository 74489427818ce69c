"""VirtualServices that delegate: each rule that names another VirtualService becomes that one's rules. Pure.

A VirtualService without hosts is a delegate; it counts nowhere by itself. Its rules stand in the place of the rule that
names it when it is exported to the namespace of that rule, one level deep. A rule of it whose conditions go beyond
those of the rule that delegates is left out, and so are delegates that are not there (Istio: model/virtualservice.go).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshcore.hosts import resolve_short_host
from meshcore.model import VirtualService
from meshcore.model.virtual_service import Delegate, Destination, HttpRoute, HttpRouteDestination, MirrorPolicy
from meshcore.xds.origin import Origins, distinct

from pilot.core.config import Config, Name, exported
from pilot.core.delegated_match import delegated_matches
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.gateway_name import gateway_name

Routes = Config[VirtualService]

_INHERITED = (
    "direct_response",
    "rewrite",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirror_percent",
    "mirror_percent_legacy",
    "mirror_percentage",
    "cors_policy",
    "headers",
)
"""What a delegate's rule has of the rule that names it unless it says its own."""


@dataclass(frozen=True, eq=False)
class Delegating(Config[VirtualService]):
    """A VirtualService with the rules of its delegates in their places; name, namespace and age are its own."""

    written: Routes | None = None
    """As its author wrote it."""
    named: frozenset[Name] = frozenset()
    """The delegates that its rules name, whether they are there or not."""
    delegates: tuple[Routes | None, ...] = ()
    """By rule as written: the delegate, if it has one that is there."""
    origins: tuple[Origins, ...] = ()
    """By rule: the objects that made it."""
    problems: tuple[Diagnostic, ...] = ()

    @property
    def refs(self) -> Origins:
        """Itself, and every delegate of which it has a rule."""
        return distinct((self.ref, *(ref for origins in self.origins for ref in origins)))

    def refs_of(self, rule: int) -> Origins:
        """The objects that made that rule."""
        return self.origins[rule]


def delegating(
    configs: Mapping[Name, Routes], before: Mapping[Name, Delegating], export_to: Iterable[str]
) -> Mapping[Name, Delegating]:
    """Every VirtualService that delegates, merged; the one of `before` as long as it and its delegates stay.

    `export_to` is whom a delegate is exported to that does not say it.
    """
    audience = tuple(export_to)
    return {
        name: _merged(config, configs, before.get(name), audience)
        for name, config in configs.items()
        if config.object.spec.hosts and any(route.delegate is not None for route in config.object.spec.http)
    }


def _merged(
    root: Routes, configs: Mapping[Name, Routes], before: Delegating | None, audience: tuple[str, ...]
) -> Delegating:
    problems: list[Diagnostic] = []
    found = tuple(_delegate_of(root, route, configs, audience, problems) for route in root.object.spec.http)
    made: list[HttpRoute] = []
    origins: list[Origins] = []
    for route, child in zip(root.object.spec.http, found, strict=True):
        if route.delegate is None:
            made.append(route)
            origins.append((root.ref,))
        elif child is not None:
            rules = tuple(_rules_of(root, route, child, problems))
            made.extend(rules)
            origins.extend([(root.ref, child.ref)] * len(rules))
    seen = tuple(dict.fromkeys(problems))
    if before is not None and before.written is root and before.delegates == found and before.problems == seen:
        return before
    spec = root.object.spec.model_copy(update={"http": tuple(made)})
    return Delegating(
        root.object.model_copy(update={"spec": spec}),
        root.revision,
        written=root,
        named=frozenset(_name_of(root, route.delegate) for route in root.object.spec.http if route.delegate),
        delegates=found,
        origins=tuple(origins),
        problems=seen,
    )


def _delegate_of(
    root: Routes,
    route: HttpRoute,
    configs: Mapping[Name, Routes],
    audience: tuple[str, ...],
    problems: list[Diagnostic],
) -> Routes | None:
    if route.delegate is None:
        return None
    name = _name_of(root, route.delegate)
    shown, found = "/".join(name), configs.get(name)
    if found is None or found.object.spec.hosts:
        what = "does not exist" if found is None else "has hosts, so it is no delegate"
        text = f"VirtualService {shown} {what}: the rule that delegates to it is left out."
        problems.append(Diagnostic("delegate-missing", root.path, text, Severity.ERROR))
        return None
    if not exported(found.object.spec.export_to or audience, found.namespace, root.namespace):
        text = f"VirtualService {shown} is not exported to namespace {root.namespace}: the rule is left out."
        problems.append(Diagnostic("delegate-not-exported", root.path, text, Severity.ERROR))
        return None
    return found


def _name_of(root: Routes, delegate: Delegate) -> Name:
    return delegate.namespace or root.namespace, delegate.name


def _rules_of(root: Routes, route: HttpRoute, child: Routes, problems: list[Diagnostic]) -> Iterable[HttpRoute]:
    route = _spelled_out(route, root.namespace)
    for number, own in enumerate(child.object.spec.http):
        rule = _spelled_out(own, child.namespace)
        if rule.delegate is not None:
            text = f"http[{number}] delegates once more: a delegate of {root.namespace}/{root.name} cannot."
            problems.append(Diagnostic("delegate-nested", child.path, text))
            continue
        matches = delegated_matches(route.match, rule.match)
        if matches is None:
            text = (
                f"The conditions of http[{number}] are not within those of the rule of {root.namespace}/{root.name} "
                "that delegates to it: it is left out."
            )
            problems.append(Diagnostic("delegate-conflict", child.path, text))
            continue
        update: dict[str, object] = {
            field: getattr(route, field) for field in _INHERITED if getattr(rule, field) is None
        }
        update["match"] = matches
        update["name"] = "-".join(part for part in (route.name, rule.name) if part)
        update["mirrors"] = rule.mirrors or route.mirrors
        yield rule.model_copy(update=update)


def _spelled_out(route: HttpRoute, namespace: str) -> HttpRoute:
    """Short names are those of the namespace of who wrote them."""

    def there(place: Destination) -> Destination:
        return place.model_copy(update={"host": resolve_short_host(place.host.lower(), namespace)})

    def sent(item: HttpRouteDestination | MirrorPolicy) -> HttpRouteDestination | MirrorPolicy:
        return item.model_copy(update={"destination": there(item.destination)})

    matches = tuple(
        match.model_copy(update={"gateways": tuple(gateway_name(name, namespace) for name in match.gateways)})
        for match in route.match
    )
    return route.model_copy(
        update={
            "match": matches,
            "route": tuple(map(sent, route.route)),
            "mirrors": tuple(map(sent, route.mirrors)),
            "mirror": there(route.mirror) if route.mirror is not None else None,
        }
    )
