"""The admin API that every service has, and how any HTTP interface of the mesh is served.

`create_app` makes the application, `serve` and `listening` bind it, `serve_admin` does both for a service's runtime.
"""

from meshcore.http.app import create_app
from meshcore.http.authentication import caller_of, require
from meshcore.http.callers import Authenticator, Caller, Credentials, Role
from meshcore.http.lists import Page, entity_tag, if_match, page_of
from meshcore.http.problem import Problem, problem_response
from meshcore.http.serving import admin_authenticator, listening, serve, serve_admin
from meshcore.http.tokens import TokenAuthenticator

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
