"""Reviews of the caller itself: nothing is stored, the status is the answer."""

from collections.abc import Mapping

from meshcore.http import Caller, Role
from starlette.requests import Request
from starlette.responses import Response

from galley.adapters.config_api.calls import json_reply, read_body
from galley.core.kube_api import bodies, reviews, status


async def answer(request: Request, caller: Caller) -> Response | None:
    """The review that was posted with its status (201), or None when the path is not one of a review."""
    kind = reviews.PATHS.get(request.scope["path"].rstrip("/"))
    if kind is None:
        return None
    if request.method != "POST":
        raise status.method_not_allowed()
    document = bodies.decode_object(request.headers.get("content-type", ""), await read_body(request)).document
    if not isinstance(document, Mapping) or document.get("kind", kind) != kind:
        raise status.bad_request(f"the body is not a {kind}")
    api_version = request.scope["path"].split("/")[2] + "/v1"
    found = reviews.answer(kind, document, caller.user, lambda role, space: caller.allows(Role(role), space))
    spec = {"spec": document["spec"]} if "spec" in document else {}
    reply = {"kind": kind, "apiVersion": api_version, "metadata": {"creationTimestamp": None}, **spec, "status": found}
    return json_reply(reply, 201)
