"""Strategic merge of a rendered template onto a pod, as Kubernetes merges a patch. Pure.

Maps merge by key; a null removes the key; a list merges by its merge key where the Pod type has one and is replaced
as a whole where it has none. New items of a keyed list come after the ones that are there, in the patch's order.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "protocol"),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_DEFAULTS: Mapping[str, str] = {"protocol": "TCP"}
# the parent decides: `volumes[].projected.sources` and `dnsConfig.options` have no key; `env` under anything has


def strategic_merge(base: Any, patch: Any, field: str = "") -> Any:
    """The merged value; neither argument is changed. `field` is the name under which both stand."""
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        merged = dict(base)
        for key, value in patch.items():
            if value is None:
                merged.pop(key, None)
            elif key in merged:
                merged[key] = strategic_merge(merged[key], value, key)
            else:
                merged[key] = _without_nulls(value)
        return merged
    if isinstance(base, list) and isinstance(patch, list) and field in _MERGE_KEYS:
        return _merge_lists(base, patch, _MERGE_KEYS[field])
    return _without_nulls(patch)


def _identity(item: Any, keys: Sequence[str]) -> tuple[Any, ...] | None:
    if not isinstance(item, Mapping) or keys[0] not in item:
        return None
    return tuple(item.get(key, _DEFAULTS.get(key)) for key in keys)


def _merge_lists(base: list[Any], patch: list[Any], keys: Sequence[str]) -> list[Any]:
    merged = list(base)
    places = {identity: place for place, item in enumerate(base) if (identity := _identity(item, keys)) is not None}
    for item in patch:
        identity = _identity(item, keys)
        if identity is not None and identity in places:
            merged[places[identity]] = strategic_merge(merged[places[identity]], item)
        else:
            if identity is not None:
                places[identity] = len(merged)
            merged.append(_without_nulls(item))
    return merged


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
