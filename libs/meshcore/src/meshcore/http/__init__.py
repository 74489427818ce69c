"""The admin API that every service has, and how any HTTP interface of the mesh is served.

`create_app` makes the application, `serve` and `listening` bind it, `serve_admin` does both for a service's runtime.
All but callers and tokens is imported when it is first used: `citadel init` and the agent want the light part only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meshcore.http.callers import Authenticator, Caller, Credentials, Role
from meshcore.http.tokens import TokenAuthenticator

if TYPE_CHECKING:
    from meshcore.http.app import create_app
    from meshcore.http.authentication import caller_of, require
    from meshcore.http.lists import Page, entity_tag, if_match, page_of
    from meshcore.http.problem import Problem, problem_response
    from meshcore.http.serving import admin_authenticator, listening, serve, serve_admin

_LATER = {
    "create_app": "app",
    "caller_of": "authentication",
    "require": "authentication",
    "Page": "lists",
    "entity_tag": "lists",
    "if_match": "lists",
    "page_of": "lists",
    "Problem": "problem",
    "problem_response": "problem",
    "admin_authenticator": "serving",
    "listening": "serving",
    "serve": "serving",
    "serve_admin": "serving",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(name)
    return getattr(import_module(f"meshcore.http.{_LATER[name]}"), name)


__all__ = [
    "Authenticator",
    "Caller",
    "Credentials",
    "Page",
    "Problem",
    "Role",
    "TokenAuthenticator",
    "admin_authenticator",
    "caller_of",
    "create_app",
    "entity_tag",
    "if_match",
    "listening",
    "page_of",
    "problem_response",
    "require",
    "serve",
    "serve_admin",
]
