"""Mixer's kinds (config.istio.io/v1alpha2): who is asked or told, about what, and when."""

from collections.abc import Callable, Mapping
from typing import Any

from meshcore.model.kinds import MIXER
from meshcore.model.mixer.names import ADAPTERS, MIXER_KINDS, TEMPLATES

from galley.core.kind_rules import KindRules
from galley.core.kinds.mixer.validate import check_handler, check_instance, check_manifest, check_rule
from galley.core.rules.report import Report

_CHECKS: Mapping[str, Callable[[Any, Report], None]] = {
    "handler": check_handler,
    "instance": check_instance,
    "rule": check_rule,
    "attributemanifest": check_manifest,
}


def _rules(kind: str) -> KindRules:
    if kind in _CHECKS:
        return KindRules(MIXER, kind, validate=_CHECKS[kind])
    family = "mixeradapter" if kind in ADAPTERS else "mixertemplate" if kind in TEMPLATES else ""
    return KindRules(MIXER, kind, family=family)


RULES = tuple(_rules(kind) for kind, _, _ in MIXER_KINDS)
