"""Discovery, OpenAPI and version: documents that depend on nothing but the kinds there are."""

import hashlib
import platform
from importlib import metadata

from starlette.requests import Request
from starlette.responses import Response

from galley.adapters.config_api.calls import JSON, encode, json_reply
from galley.core.kube_api import discovery, openapi_v2, openapi_v3, status
from galley.core.kube_api.negotiation import aggregated_discovery_version

VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": f"v1.32.0+meshcore-{metadata.version('galley')}",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "cpython",
    "platform": f"linux/{platform.machine()}",
}
"""The Kubernetes API version that is spoken; some kubectl wrappers choose their client by `minor`."""

_FOR_EVER = "public, max-age=31536000, immutable"


def answer(request: Request) -> Response | None:
    """The document at this path, or None when the path is not one of a document."""
    segments = [segment for segment in request.scope["path"].split("/") if segment]
    if not segments or segments[0] not in ("api", "apis", "openapi"):
        return None
    found = _openapi(request, segments[1:]) if segments[0] == "openapi" else _discovery(request, segments)
    if found is not None and request.method not in ("GET", "HEAD"):
        raise status.method_not_allowed()
    return found


def _discovery(request: Request, segments: list[str]) -> Response | None:
    if len(segments) > 3:
        return None
    groups = discovery.groups()
    if len(segments) == 1:
        version = aggregated_discovery_version(request.headers.get("accept", ""))
        if version is not None:
            body = discovery.aggregated(version, core=segments[0] == "api")
            return _tagged(request, encode(body), discovery.aggregated_content_type(version))
        return json_reply(discovery.api_versions() if segments[0] == "api" else discovery.api_group_list())
    if segments[0] == "api":
        if len(segments) == 2 and segments[1] in groups[""]:
            return json_reply(discovery.api_resource_list("", segments[1]))
        return None
    if len(segments) == 2 and segments[1] in groups:
        return json_reply(discovery.api_group(segments[1]))
    if len(segments) == 3 and segments[2] in groups.get(segments[1], ()):
        return json_reply(discovery.api_resource_list(segments[1], segments[2]))
    return None


def _openapi(request: Request, segments: list[str]) -> Response | None:
    if segments == ["v3"]:
        return json_reply(openapi_v3.root())
    if segments == ["v2"]:
        accept = request.headers.get("accept", "*/*")
        if openapi_v2.MEDIA_TYPE in accept:
            return _tagged(request, openapi_v2.encoded(), "application/octet-stream")
        if "json" in accept or "*/*" in accept:
            return _tagged(request, openapi_v2.as_json(), JSON)
        raise status.not_acceptable((JSON,))
    if segments[:1] != ["v3"]:
        return None
    group = segments[2] if segments[1:2] == ["apis"] and len(segments) == 4 else ""
    version = segments[-1]
    wrong_core = not group and segments[1:-1] != ["api"]
    if wrong_core or version not in discovery.groups().get(group, ()):
        return None
    response = _tagged(request, openapi_v3.encoded(group, version), JSON)
    if request.query_params.get("hash") == openapi_v3.document_hash(group, version):
        response.headers["Cache-Control"] = _FOR_EVER
    return response


def _tagged(request: Request, body: bytes, media_type: str) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache, private", "Vary": "Accept"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    response = Response(body, headers=headers)
    response.headers["Content-Type"] = media_type
    return response
