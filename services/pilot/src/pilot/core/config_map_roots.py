"""Roots that config takes from ConfigMaps: `configmap://<namespace>/<name>`, of any namespace, as in Istio. Pure."""

from collections.abc import Iterable, Mapping

from meshcore.model import ConfigMap
from meshcore.xds.resource import PackedResource, Resources
from meshcore.xds.secret_book import root_secret
from meshcore.xds.secret_names import CONFIG_MAP
from meshcore.xds.types import SECRET_TYPE

from pilot.core.config import Config

ConfigMaps = Mapping[tuple[str, str], Config[ConfigMap]]
"""By namespace and name."""


def config_map_of(name: str) -> tuple[str, str] | None:
    """The ConfigMap that a resource's name means; None for a name of another kind."""
    namespace, slash, local = name.removeprefix(CONFIG_MAP).partition("/")
    return (namespace, local) if name.startswith(CONFIG_MAP) and slash and namespace and local else None


def config_map_roots(names: Iterable[str], maps: ConfigMaps) -> tuple[Resources, dict[str, str]]:
    """What is served of these names, and what is wrong with the others of them that are ConfigMaps'."""
    found: dict[str, PackedResource] = {}
    problems: dict[str, str] = {}
    for name in sorted(names):
        if not name.startswith(CONFIG_MAP):
            continue
        owner = config_map_of(name)
        config = None if owner is None else maps.get(owner)
        if owner is None or config is None:
            problems[name] = "there is no such ConfigMap" if owner else "it is not configmap://<namespace>/<name>"
            continue
        made = root_secret(name, {key: value.encode() for key, value in config.object.data.items()})
        if isinstance(made, str):
            problems[name] = f"ConfigMap {owner[0]}/{owner[1]}: {made}"
        else:
            found[name] = PackedResource.pack(SECRET_TYPE, name, made)
    return found, problems
