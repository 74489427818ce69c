"""The injector's configuration as frozen data, and how it is read from the mesh's objects. Pure.

Four sources, all of them config objects: MeshConfig (ConfigMap `istio`), the injector's own ConfigMap
`istio-sidecar-injector` with Istio's keys `config` (policy, selectors, templates) and `values`, the objects of kind
ProxyConfig, and the labels of namespaces.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from meshcore.errors import ErrorCode, MeshError, Violation

from injector.core.decision import InjectionPolicy, PodSelector, SelectorRequirement
from injector.core.merge import strategic_merge
from injector.core.proxy_config import ProxyConfigs
from injector.core.template import compile_template, shipped_templates
from injector.core.values import DEFAULT_VALUES
from injector.core.yaml_documents import read_document

_CONFIG_KEYS = frozenset(
    {
        "policy",
        "defaultTemplates",
        "templates",
        "aliases",
        "alwaysInjectSelector",
        "neverInjectSelector",
        "injectedAnnotations",
    }
)
_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


@dataclass(frozen=True)
class InjectionConfig:
    """Everything that an injection depends on besides the pod. `mesh` and `values` are as written, in camelCase."""

    policy: InjectionPolicy = InjectionPolicy.ENABLED
    default_templates: tuple[str, ...] = ("sidecar",)
    templates: Mapping[str, str] = field(default_factory=shipped_templates)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    always: tuple[PodSelector, ...] = ()
    never: tuple[PodSelector, ...] = ()
    injected_annotations: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=lambda: DEFAULT_VALUES)
    mesh: Mapping[str, Any] = field(default_factory=dict)
    proxy_configs: ProxyConfigs = field(default_factory=ProxyConfigs)
    revision: str = "default"
    cluster_id: str = "Kubernetes"
    trust_domain: str = "cluster.local"


def parse_injection_config(
    config_text: str,
    values_text: str = "",
    *,
    mesh: Mapping[str, Any] | None = None,
    proxy_configs: ProxyConfigs | None = None,
    **fixed: str,
) -> InjectionConfig:
    """Read the two keys of ConfigMap `istio-sidecar-injector`; INVALID with every violation.

    `fixed` are `revision`, `cluster_id` and `trust_domain`: facts of the installation, not of the ConfigMap.
    """
    violations: list[Violation] = []
    document = _read_map(config_text, "config", violations)
    values = _read_map(values_text, "values", violations)
    violations += [
        Violation(f"config.{key}", "is not known", ", ".join(sorted(_CONFIG_KEYS)))
        for key in sorted(document.keys() - _CONFIG_KEYS)
    ]
    policy = document.get("policy", "enabled")
    if policy not in ("enabled", "disabled"):
        violations.append(Violation("config.policy", f"{policy!r} is not a policy", "enabled or disabled"))
        policy = "enabled"
    templates = shipped_templates() | _string_map(document.get("templates"), "config.templates", violations)
    for name, text in sorted(templates.items()):
        try:
            compile_template(name, text)
        except MeshError as error:
            violations.append(Violation(f"config.templates[{name}]", error.detail))
    aliases = _aliases(document.get("aliases"), violations)
    defaults = _string_list(document.get("defaultTemplates", ["sidecar"]), "config.defaultTemplates", violations)
    violations += [
        Violation("config.defaultTemplates", f"there is no template {name!r}", ", ".join(sorted(templates)))
        for name in defaults
        if name not in templates and name not in aliases
    ]
    config = InjectionConfig(
        policy=InjectionPolicy(policy),
        default_templates=defaults,
        templates=templates,
        aliases=aliases,
        always=parse_selectors(document.get("alwaysInjectSelector"), "config.alwaysInjectSelector", violations),
        never=parse_selectors(document.get("neverInjectSelector"), "config.neverInjectSelector", violations),
        injected_annotations=_string_map(document.get("injectedAnnotations"), "config.injectedAnnotations", violations),
        values=strategic_merge(DEFAULT_VALUES, values),
        mesh=mesh or {},
        proxy_configs=proxy_configs or ProxyConfigs(),
        **fixed,
    )
    if violations:
        raise MeshError(ErrorCode.INVALID, "invalid injection configuration", violations)
    return config


def parse_selectors(value: Any, field_name: str, violations: list[Violation]) -> tuple[PodSelector, ...]:
    """A list of Kubernetes LabelSelector objects."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        violations.append(Violation(field_name, "is not a list of label selectors"))
        return ()
    return tuple(_selector(item, f"{field_name}[{place}]", violations) for place, item in enumerate(value))


def _selector(value: Mapping[str, Any], field_name: str, violations: list[Violation]) -> PodSelector:
    pairs = _string_map(value.get("matchLabels"), f"{field_name}.matchLabels", violations)
    requirements = [SelectorRequirement(key, "In", frozenset({label})) for key, label in sorted(pairs.items())]
    expressions = value.get("matchExpressions") or []
    for place, expression in enumerate(expressions if isinstance(expressions, list) else [expressions]):
        at = f"{field_name}.matchExpressions[{place}]"
        if not isinstance(expression, Mapping) or expression.get("operator") not in _OPERATORS:
            violations.append(Violation(at, "has no known operator", ", ".join(sorted(_OPERATORS))))
            continue
        labels = _string_list(expression.get("values") or [], f"{at}.values", violations)
        requirements.append(
            SelectorRequirement(str(expression.get("key", "")), str(expression["operator"]), frozenset(labels))
        )
    return PodSelector(tuple(requirements))


def _read_map(text: str, name: str, violations: list[Violation]) -> dict[str, Any]:
    try:
        document = read_document(text) or {}
    except yaml.YAMLError as error:
        violations.append(Violation(name, f"is not YAML: {error}"))
        return {}
    if not isinstance(document, dict):
        violations.append(Violation(name, "is not a map"))
        return {}
    return document


def _string_map(value: Any, field_name: str, violations: list[Violation]) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, Mapping) and all(isinstance(item, str) for pair in value.items() for item in pair):
        return dict(value)
    violations.append(Violation(field_name, "is not a map of strings"))
    return {}


def _string_list(value: Any, field_name: str, violations: list[Violation]) -> tuple[str, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        items = tuple(value)
        if all(isinstance(item, str) for item in items):
            return items
    violations.append(Violation(field_name, "is not a list of strings"))
    return ()


def _aliases(value: Any, violations: list[Violation]) -> dict[str, tuple[str, ...]]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        violations.append(Violation("config.aliases", "is not a map of lists"))
        return {}
    return {str(key): _string_list(item, f"config.aliases[{key}]", violations) for key, item in value.items()}
