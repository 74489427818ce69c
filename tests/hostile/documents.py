"""Documents that nobody means well with."""

from __future__ import annotations

import json
from typing import Any

MEGABYTE = 1024 * 1024

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
)
"""Ten to the twelfth nodes in a few lines."""

LOOP = "a: &a\n  b: *a\n"


def virtual_service(name: str = "v", **spec: Any) -> dict[str, Any]:
    body = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]} | spec
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": body,
    }


def mesh_config_map(mesh: str) -> dict[str, Any]:
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": mesh}}


def _matches(count: int, path: str) -> list[dict[str, Any]]:
    match = [{"uri": {"regex": path.format(number)}} for number in range(count)]
    return [{"match": match, "route": [{"destination": {"host": "reviews"}}]}]


def _with_metadata(**more: Any) -> dict[str, Any]:
    document = virtual_service()
    document["metadata"] |= more
    return document


_PLAIN = json.dumps(virtual_service())

REFUSED: dict[str, bytes] = {
    "nested lists": b'{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","spec":' + b"[" * 100_000,
    "nested lists that end": _PLAIN.replace('"reviews"', "[" * 5000 + "]" * 5000, 1).encode(),
    "nested objects": _PLAIN.replace('["reviews"]', '{"a":' * 5000 + "1" + "}" * 5000, 1).encode(),
    "10 MB": json.dumps(_with_metadata(annotations={"a": "x" * 10 * MEGABYTE})).encode(),
    "10 MB of spaces": b" " * (10 * MEGABYTE) + _PLAIN.encode(),
    "bad UTF-8": _PLAIN.replace("reviews", "re\xffviews").encode("latin-1"),
    "half a character": _PLAIN.replace("reviews", "re\\ud800views").encode(),
    "a key twice": _PLAIN.replace('"spec": {', '"spec": {"hosts": ["a"], ', 1).encode(),
    "control characters": json.dumps(virtual_service(hosts=["a\x00b\x1b[2J\r\n"])).encode(),
    "raw control characters": _PLAIN.replace("reviews", "a\x00b").encode(),
    "10,000 bad matches": json.dumps(virtual_service(http=_matches(10_000, "({0}"))).encode(),
    "10,000 hosts that are no hosts": json.dumps(virtual_service(hosts=["-" * 300] * 10_000)).encode(),
    "an annotation that is no template": json.dumps(
        _with_metadata(annotations={"{{ 7*7 }}\n---\nkind: Secret": "{{ .Values }}"})
    ).encode(),
    "a name that is a path": json.dumps(virtual_service("../../etc/passwd")).encode(),
    "a number beyond all": _PLAIN.replace('"reviews"', "1" * 100_000, 1).encode(),
    "not a number": _PLAIN.replace('"reviews"', "NaN", 1).encode(),
    "a list": b"[]",
    "a text": b'"x"',
    "nothing": b"",
    "negative ports": json.dumps(
        virtual_service(http=[{"route": [{"destination": {"host": "a", "port": {"number": -80}}}]}])
    ).encode(),
    "a regex that is too large": json.dumps(
        virtual_service(
            http=[
                {"match": [{"uri": {"regex": "(((a{1,100}){1,100}){1,100})"}}], "route": _matches(1, "/")[0]["route"]}
            ]
        )
    ).encode(),
}
"""Each as a JSON body of a VirtualService; all are to be refused."""

REFUSED_MESH: dict[str, str] = {
    "a bomb": BOMB,
    "a loop": LOOP,
    "nested deeply": "a: " + "[" * 5000 + "]" * 5000,
    "a key twice": "accessLogFile: /a\naccessLogFile: /b\n",
    "control characters": "accessLogFile: \x00\x1b",
    "a Python object": "accessLogFile: !!python/object/apply:os.system ['id']",
    "two documents": "accessLogFile: /a\n---\naccessLogFile: /b\n",
}
"""Texts of the mesh config in the mesh's own ConfigMap."""

YAML_FILES: dict[str, bytes] = {
    "bomb": BOMB.encode(),
    "bomb in an object": b"apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec:\n"
    + "\n".join(f"  {line}" for line in BOMB.splitlines()).encode(),
    "loop": LOOP.encode(),
    "bad UTF-8": b"kind: \xff\xfe\n",
    "UTF-16": "kind: VirtualService\n".encode("utf-16"),
    "NUL": b"kind: a\x00b\n",
    "open brackets": b"[" * 100_000,
    "an indent for each level": b"".join(b" " * level + b"a:\n" for level in range(3000)),
}
"""Files in YAML."""
