"""A compiled resource that was taken apart and changed by further config objects. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from meshcore.xds.origin import METADATA_FIELDS, NAMESPACE, ConfigRef, distinct, origins_in

from pilot.core.compiler.context import Compiled, packed
from pilot.core.diagnostics import Diagnostic


def repacked(
    item: Compiled, parsed: Any, refs: Iterable[ConfigRef], diagnostics: tuple[Diagnostic, ...] | None = None
) -> Compiled:
    """`item` with the content of `parsed`; `refs` join the objects that made it."""
    resource = item.resource
    problems = item.diagnostics if diagnostics is None else diagnostics
    if resource.type_url not in METADATA_FIELDS:
        made = packed(resource.type_url, resource.name, parsed, beside=distinct((*resource.origins, *refs)))
        return replace(item, resource=made.resource, diagnostics=problems)
    written = origins_in(parsed.metadata)
    beside = tuple(origin for origin in resource.origins if origin not in written)
    parsed.metadata.filter_metadata.pop(NAMESPACE, None)  # it is written anew
    if not parsed.metadata.ByteSize():
        parsed.ClearField("metadata")
    made = packed(resource.type_url, resource.name, parsed, origins=(*written, *refs), beside=beside)
    return replace(item, resource=made.resource, diagnostics=problems)
