"""Rendering of injection templates: text with Jinja expressions in, a pod fragment out. Pure.

Every `{{ expression }}` is written as JSON, which is YAML: a string comes out quoted and escaped, a list or map in flow
style. So no value of a pod, whatever it contains, can add a line, a key or an anchor to the document; the check of
annotations (`annotations.py`) is the second lock on the same door. The environment is Jinja's immutable sandbox with
StrictUndefined: a misspelt name is an error of the template, never an empty string in a pod.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2
import jinja2.sandbox
import yaml
from meshcore.errors import ErrorCode, MeshError

from injector.core.yaml_documents import NoSurprisesLoader

MAX_TEMPLATE = 256 * 1024
"""Characters of a template that we accept."""

_NON_ASCII = re.compile(r"[^\x00-\x7e]")


def shipped_templates() -> dict[str, str]:
    """The templates that ship with the injector, by name."""
    folder = resources.files("injector.core") / "templates"
    return {"sidecar": (folder / "sidecar.yaml.j2").read_text(encoding="utf-8")}


def as_json(value: Any) -> str:
    """One line of JSON that YAML 1.1 reads the same way: characters outside ASCII as eight-digit escapes."""
    if isinstance(value, jinja2.Undefined):
        # touching it raises UndefinedError with the name
        value = str(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=False)
    return _NON_ASCII.sub(lambda found: f"\\U{ord(found[0]):08X}", text)


def compile_template(name: str, text: str) -> jinja2.Template:
    """A template ready to render; INVALID when it does not parse."""
    if len(text) > MAX_TEMPLATE:
        raise MeshError(ErrorCode.INVALID, f"injection template {name} is over {MAX_TEMPLATE} characters")
    try:
        return _compiled(text)
    except jinja2.TemplateSyntaxError as error:
        raise MeshError(
            ErrorCode.INVALID, f"injection template {name}, line {error.lineno}: {error.message}"
        ) from error


def render_template(name: str, text: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """The pod fragment that a template makes of `context`; INVALID says what the template did wrong."""
    template = compile_template(name, text)
    try:
        rendered = template.render(context)
        # the loader is a SafeLoader with fewer implicit types
        fragment = yaml.load(rendered, Loader=NoSurprisesLoader)  # noqa: S506
    except (jinja2.TemplateError, yaml.YAMLError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise MeshError(ErrorCode.INVALID, f"injection template {name} cannot be rendered: {error}") from error
    if not isinstance(fragment, dict):
        raise MeshError(ErrorCode.INVALID, f"injection template {name} does not render to a map")
    return fragment


@lru_cache(maxsize=64)
def _compiled(text: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(text)


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        finalize=as_json,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["combine"] = lambda left, right: {**left, **right}
    environment.filters["json_text"] = lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return environment


_ENVIRONMENT = _environment()
