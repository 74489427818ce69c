"""Galley's config API from the command line: create, apply, get, delete, tokens."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.kinds import KindInfo, by_kind

from meshctl.core.mesh_objects import desired_over, token_request

CODES = {
    400: ErrorCode.INVALID,
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.PERMISSION_DENIED,
    404: ErrorCode.NOT_FOUND,
    409: ErrorCode.CONFLICT,
    410: ErrorCode.GONE,
    413: ErrorCode.TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_MEDIA,
    422: ErrorCode.INVALID,
    503: ErrorCode.UNAVAILABLE,
    504: ErrorCode.DEADLINE_EXCEEDED,
}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
ATTEMPTS = 5
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Applied:
    """What one write did: `verb` is created, configured, unchanged or deleted."""

    verb: str
    kind: KindInfo
    namespace: str
    name: str
    revision: int

    def __str__(self) -> str:
        group = f".{self.kind.group}" if self.kind.group else ""
        return f"{self.kind.singular}{group}/{self.name} {self.verb}"


class ConfigApi:
    """One connection to the config API at `url`. The token is sent as a bearer token and never printed."""

    def __init__(self, url: str, ca: str, token: str, timeout: float = 10.0) -> None:
        context = ssl.create_default_context(cadata=ca)
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        self.url = url
        self._warnings: list[str] = []
        self._client = httpx.Client(base_url=url, verify=context, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def take_warnings(self) -> tuple[str, ...]:
        """What the server warned of since this was asked last, each text once."""
        taken = tuple(dict.fromkeys(self._warnings))
        self._warnings.clear()
        return taken

    def create_missing(self, document: Mapping[str, Any], namespace: str = "default") -> bool:
        """Creates the object unless it exists; True when it was created."""
        kind, space, name = self._address(document, namespace)
        try:
            self.read(kind, space, name)
        except MeshError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
        else:
            return False
        try:
            self._call("POST", _path(kind, _version(document), space), document)
        except MeshError as error:
            if error.code not in (ErrorCode.CONFLICT, ErrorCode.ALREADY_EXISTS):
                raise
            return False
        return True

    def apply(self, document: Mapping[str, Any], namespace: str = "default", dry_run: bool = False) -> Applied:
        """Makes the object what the document says. A `resourceVersion` in it makes a lost race an error."""
        kind, space, name = self._address(document, namespace)
        version = _version(document)
        parameters = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        for attempt in range(ATTEMPTS):
            try:
                live = self.read(kind, space, name, version)
            except MeshError as error:
                if error.code is not ErrorCode.NOT_FOUND:
                    raise
                live = None
            try:
                if live is None:
                    made = self._call("POST", _path(kind, version, space), document, parameters)
                    return Applied("created", kind, space, name, revision_of(made))
                wanted = desired_over(live, document)
                made = self._call("PUT", _path(kind, version, space, name), wanted, parameters)
                verb = "unchanged" if revision_of(made) == revision_of(live) else "configured"
                return Applied(verb, kind, space, name, revision_of(made))
            except MeshError as error:
                mine = "resourceVersion" in document.get("metadata", {})
                if error.code is not ErrorCode.CONFLICT or mine or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def delete(self, document: Mapping[str, Any], namespace: str = "default") -> Applied:
        """Deletes the object that the document names; MeshError(NOT_FOUND) when there is none."""
        kind, space, name = self._address(document, namespace)
        answer = self._call("DELETE", _path(kind, _version(document), space, name))
        return Applied("deleted", kind, space, name, revision_of(answer))

    def read_document(self, document: Mapping[str, Any], namespace: str = "default") -> dict[str, Any]:
        """The live object that a document names."""
        kind, space, name = self._address(document, namespace)
        return self.read(kind, space, name, _version(document))

    def read(self, kind: KindInfo, namespace: str, name: str, version: str = "") -> dict[str, Any]:
        """One object."""
        return self._call("GET", _path(kind, version or kind.storage_version, namespace, name))

    def list_objects(
        self, kind: KindInfo, namespace: str | None, name: str = "", table: bool = False
    ) -> dict[str, Any]:
        """A list (all namespaces when None), one object when named, or the server's table of either."""
        path = _path(kind, kind.storage_version, namespace or "", name)
        return self._call("GET", path, headers={"accept": TABLE} if table else None)

    def workload_token(self, namespace: str, service_account: str) -> str:
        """A token for a workload's first certificate."""
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(service_account, safe='')}/token"
        return str(self._call("POST", path, token_request())["status"]["token"])

    def _address(self, document: Mapping[str, Any], namespace: str) -> tuple[KindInfo, str, str]:
        metadata = document.get("metadata") or {}
        name = metadata.get("name")
        if not name:
            raise MeshError(ErrorCode.INVALID, "the object has no name", [Violation("metadata.name", "is missing")])
        kind = by_kind(str(document.get("apiVersion", "")), str(document.get("kind", "")))
        return kind, metadata.get("namespace") or namespace if kind.namespaced else "", str(name)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body, params=parameters, headers=headers)
        except httpx.TransportError as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"the config API at {self.url} does not answer: {error}") from None
        self._warnings += warnings_of(answer)
        if answer.is_success:
            return dict(answer.json())
        raise refused(answer)


def refused(answer: httpx.Response) -> MeshError:
    """The error that a Kubernetes `Status` or a problem document says."""
    code = CODES.get(answer.status_code, ErrorCode.INTERNAL)
    try:
        document = answer.json()
    except ValueError:
        return MeshError(code, f"{answer.request.method} {answer.request.url.path}: HTTP {answer.status_code}")
    if document.get("reason") == "AlreadyExists":
        code = ErrorCode.ALREADY_EXISTS
    details = document.get("details") or {}
    causes = [cause for cause in details.get("causes") or () if cause.get("reason") == "FieldValueInvalid"]
    if causes:
        found = [Violation(str(cause["field"]), str(cause["message"])) for cause in causes]
        return MeshError(code, f"{details.get('kind')} {details.get('name')!r} is not valid", found)
    text = document.get("message") or document.get("detail") or f"HTTP {answer.status_code}"
    return MeshError(code, str(text))


def warnings_of(answer: httpx.Response) -> list[str]:
    """The texts of an answer's `Warning` headers (RFC 7234 §5.5)."""
    quoted = _WARNING.findall(", ".join(answer.headers.get_list("warning")))
    return [_ESCAPED.sub(r"\1", text) for text in quoted]


def revision_of(document: Mapping[str, Any]) -> int:
    """The `resourceVersion` of an object, or of the object that a `Status` speaks of; 0 when there is none."""
    text = str(document.get("metadata", {}).get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


def _version(document: Mapping[str, Any]) -> str:
    return str(document["apiVersion"]).rpartition("/")[2]


def _path(kind: KindInfo, version: str, namespace: str, name: str = "") -> str:
    root = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    space = f"/namespaces/{quote(namespace, safe='')}" if namespace and kind.namespaced else ""
    return f"{root}{space}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")


def open_config_api(url: str, root_certificate: str, token_file: str) -> ConfigApi:
    """The config API with root and token read from their files."""
    try:
        return ConfigApi(url, Path(root_certificate).read_text(), Path(token_file).read_text().strip())
    except FileNotFoundError as error:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"no {error.filename}: is the stack up?") from None
