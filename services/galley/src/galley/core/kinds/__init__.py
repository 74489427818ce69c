"""One folder per kind: its rules (`validate`), its one form (`normalize`), and what the API must know of it.

A folder's package has `RULES: KindRules`, or a tuple of them for a family of kinds; it is found here by being there, so
a new kind is a new folder and a row in `meshcore.model.kinds.KINDS`.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from meshcore.model.kinds import KindInfo

from galley.core.kind_rules import KindRules


@cache
def all_rules() -> Mapping[tuple[str, str], KindRules]:
    """The rules of every kind, by (group, kind)."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        family: KindRules | tuple[KindRules, ...] = importlib.import_module(f"{__name__}.{module.name}").RULES
        for rules in family if isinstance(family, tuple) else (family,):
            found[(rules.group, rules.kind)] = rules
    return MappingProxyType(found)


def rules_of(info: KindInfo) -> KindRules:
    """The rules of one kind; KeyError would mean that its folder is missing (a test sees to that)."""
    return all_rules()[(info.group, info.kind)]
