"""Conditions of a delegate's rule within those of the rule that delegates to it. Pure.

Each match of the delegate has to be narrower than some match of the other; then both hold together. What cannot be
compared (a regular expression beside anything) is a conflict (Istio: model/virtualservice.go).
"""

from collections.abc import Mapping

from meshcore.model.virtual_service import HttpMatchRequest, StringMatch

Matches = tuple[HttpMatchRequest, ...]

_TEXTS = ("uri", "scheme", "method", "authority")
_TEXTS_BY_NAME = ("headers", "without_headers", "query_params")


def delegated_matches(root: Matches, leaf: Matches) -> Matches | None:
    """The conditions of both; None when some match of `leaf` is within none of `root`."""
    if not root or not leaf:
        return leaf or root
    found: list[HttpMatchRequest] = []
    for own in leaf:
        within = [_joined(outer, own) for outer in root if _is_within(outer, own)]
        if not within:
            return None
        found += within
    return tuple(found)


def _is_within(root: HttpMatchRequest, leaf: HttpMatchRequest) -> bool:
    if root.ignore_uri_case != leaf.ignore_uri_case:
        return False
    if root.port and leaf.port and root.port != leaf.port:
        return False
    if root.source_namespace and leaf.source_namespace and root.source_namespace != leaf.source_namespace:
        return False
    if any(root.source_labels.get(key, value) != value for key, value in leaf.source_labels.items()):
        return False
    if root.gateways and not set(leaf.gateways) <= set(root.gateways):
        return False
    if not all(_text_is_within(getattr(root, name), getattr(leaf, name)) for name in _TEXTS):
        return False
    for name in _TEXTS_BY_NAME:
        outer: Mapping[str, StringMatch] = getattr(root, name)
        inner: Mapping[str, StringMatch] = getattr(leaf, name)
        if not all(_text_is_within(outer.get(key), value) for key, value in inner.items()):
            return False
    return True


def _text_is_within(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    if root is None or leaf is None:
        return True
    if root.regex or leaf.regex:
        return False
    if root.exact:
        return leaf.exact == root.exact
    text = leaf.prefix or leaf.exact
    return bool(root.prefix and text and text.startswith(root.prefix))


def _joined(root: HttpMatchRequest, leaf: HttpMatchRequest) -> HttpMatchRequest:
    update: dict[str, object] = {
        name: getattr(leaf, name) or getattr(root, name)
        for name in (*_TEXTS, "port", "source_namespace", "gateways", "stat_prefix")
    }
    for name in (*_TEXTS_BY_NAME, "source_labels"):
        update[name] = {**getattr(root, name), **getattr(leaf, name)}
    update["name"] = "-".join(part for part in (root.name, leaf.name) if part)
    return leaf.model_copy(update=update)
