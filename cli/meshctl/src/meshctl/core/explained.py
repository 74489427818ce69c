"""An explanation as text and as JSON, each object with the place where it can be found. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshcore.xds.origin import ConfigRef

Places = Mapping[tuple[str, str, str], str]
"""`file:line` by kind, namespace and name; empty for a running mesh."""


def with_places(document: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """The document with each object as `{kind, namespace, name}` and its `file` and `line`, or its `revision`."""

    def described(text: str) -> dict[str, Any]:
        ref = ConfigRef.parse(text)
        made: dict[str, Any] = {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name}
        if (place := places.get((ref.kind, ref.namespace, ref.name))) is not None:
            file, _, line = place.rpartition(":")
            made |= {"file": file, "line": int(line)}
        elif ref.revision:
            made["revision"] = ref.revision
        return made

    def walked(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: [described(text) for text in item] if key == "configs" else walked(item)
                for key, item in value.items()
            }
        return [walked(item) for item in value] if isinstance(value, list) else value

    return dict(walked(document))


def render_explanation(document: Mapping[str, Any], places: Places) -> Iterator[str]:
    """Lines for people: the steps, under each the near misses and the objects that decided, and the verdict."""
    yield f"{document['from']} -> {document['to']}"
    for step in document["steps"]:
        mark = "!" if step["problem"] else " "
        yield f"{mark} {step['at']:<13} {step['text']}"
        for miss in step["misses"]:
            yield f"{'':<16}not {miss['route']}: {miss['why']}"
        for text in step["configs"]:
            yield f"{'':<16}by {cited(text, places)}"
    yield f"= {document['verdict']}"


def cited(text: str, places: Places) -> str:
    """`VirtualService shop/reviews (mesh.yaml:12)`, or `(revision 7)`."""
    ref = ConfigRef.parse(text)
    name = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    place = places.get((ref.kind, ref.namespace, ref.name)) or (f"revision {ref.revision}" if ref.revision else "")
    return f"{ref.kind} {name}" + (f" ({place})" if place else "")
