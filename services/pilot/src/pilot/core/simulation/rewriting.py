"""What a route makes of a request's path, as the next proxy sees it, for the simulator. Pure."""

from typing import Any

import re2


def rewritten_path(route: Any, target: str) -> str:
    """Path and query behind a route."""
    action, match = route.route, route.match
    path, mark, query = target.partition("?")
    if action.HasField("regex_rewrite"):
        rewrite = action.regex_rewrite
        path = re2.sub(rewrite.pattern.regex, rewrite.substitution, path)
    elif action.prefix_rewrite:
        kind = match.WhichOneof("path_specifier")
        matched = len(path) if kind in ("path", "safe_regex") else len(getattr(match, kind))
        path = action.prefix_rewrite + path[matched:]
    return path + mark + query


def rewritten_host(route: Any, cluster: str, authority: str) -> str:
    """The authority behind a route, on the way to one of its clusters."""
    for part in route.route.weighted_clusters.clusters:
        if part.name == cluster and part.host_rewrite_literal:
            return str(part.host_rewrite_literal)
    return str(route.route.host_rewrite_literal or authority)
