"""A Kubernetes API as far as signing requests go (certificates.k8s.io/v1), for tests: real HTTPS, real signatures.

with signing_api({"example.com/mesh": signs_with(authority)}) as api:
    api.write_kubeconfig(path)

Objects are checked, versioned, approved, watched and deleted as the API server does it; once one is approved, the
controller of its signer answers it in a thread of its own.
"""

import base64
import json
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from meshcore.testing.authorities import Authority
from meshcore.testing.identity import make_ca
from meshcore.testing.kubeconfig import write_kubeconfig

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
TOKEN = "the-token-of-citadel-at-the-api"
LEAST_LIFE = 600
_USAGES = {"digital signature", "key encipherment", "server auth", "client auth"}
Object = dict[str, Any]
Signer = Callable[[x509.CertificateSigningRequest, Mapping[str, Any]], Mapping[str, Any]]
"""What a signer makes of a request and its `spec`: what is new in `status`, nothing for one that keeps silent."""


@dataclass
class SigningApi:
    """`created` holds every object that ever was, as it was last; `refuse` answers each request with that status."""

    signers: dict[str, Signer]
    url: str = ""
    ca_pem: bytes = b""
    objects: dict[str, Object] = field(default_factory=dict)
    created: list[Object] = field(default_factory=list)
    refuse: int = 0
    meddling: list[Object] = field(default_factory=list)
    """What somebody else writes into the status before an approval comes, which is then too late; one for each."""
    short_watches: bool = False
    """Watches end before they have told anything."""
    changed: Condition = field(default_factory=Condition, repr=False)
    closing: bool = False
    _version: int = 0
    _events: list[tuple[int, str, Object]] = field(default_factory=list)
    _controllers: list[Thread] = field(default_factory=list)

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig of Citadel's."""
        return write_kubeconfig(path, self.url, self.ca_pem, TOKEN)

    def note(self, kind: str, document: Object) -> None:
        """A new version of an object, which watchers see."""
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        self._events.append((self._version, kind, deepcopy(document)))
        self.changed.notify_all()

    def wait_for_events(self, version: int, name: str) -> list[tuple[int, str, Object]]:
        """What a watch of one object tells next; nothing when the server closes."""

        def later() -> list[tuple[int, str, Object]]:
            return [one for one in self._events if one[0] > version and one[2]["metadata"]["name"] == name]

        with self.changed:
            self.changed.wait_for(lambda: self.closing or later())
            return later()

    def wait_until(self, condition: Callable[[], bool], within: float = 60.0) -> None:
        """Wait for something that a change of objects brings about; TimeoutError when it does not come."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout=within):
                raise TimeoutError

    def create(self, document: Object) -> tuple[int, Object]:
        """POST of one object."""
        spec = document.get("spec") or {}
        try:
            request = x509.load_pem_x509_csr(base64.b64decode(spec["request"], validate=True))
            good = request.is_signature_valid and "/" in spec["signerName"] and set(spec["usages"]) <= _USAGES
            good = good and spec.get("expirationSeconds", LEAST_LIFE) >= LEAST_LIFE and bool(spec["usages"])
        except (KeyError, ValueError, TypeError):
            good = False
        if not good:
            return 422, _status(422, "Invalid", "the CertificateSigningRequest is invalid")
        metadata = document.setdefault("metadata", {})
        metadata["name"] = metadata.get("name") or f"{metadata['generateName']}{len(self.created):05d}"
        document["spec"] = spec | {"username": "system:serviceaccount:istio-system:citadel"}
        document["status"] = {}
        self.objects[metadata["name"]] = document
        self.created.append(document)
        self.note("ADDED", document)
        return 201, document

    def approve(self, name: str, document: Object) -> tuple[int, Object]:
        """PUT of the approval; the controller of the signer sees it."""
        held = self.objects[name]
        if self.meddling:
            held["status"] |= self.meddling.pop(0)
            self.note("MODIFIED", held)
        if document["metadata"].get("resourceVersion") != held["metadata"]["resourceVersion"]:
            return 409, _status(409, "Conflict", "the object has been modified")
        held["status"]["conditions"] = document["status"]["conditions"]
        self.note("MODIFIED", held)
        controller = Thread(target=self._control, args=(held,), name="signer")
        self._controllers.append(controller)
        controller.start()
        return 200, held

    def _control(self, held: Object) -> None:
        with self.changed:
            spec = held["spec"]
            signer = self.signers.get(spec["signerName"])
            if signer is None or self.closing:
                return
            found = signer(x509.load_pem_x509_csr(base64.b64decode(spec["request"])), spec)
            conditions = [*held["status"]["conditions"], *found.get("conditions", ())]
            held["status"] |= {**found, "conditions": conditions}
            if found and held["metadata"]["name"] in self.objects:
                self.note("MODIFIED", held)

    def delete(self, name: str) -> tuple[int, Object]:
        """DELETE of one object."""
        gone = self.objects.pop(name)
        self.note("DELETED", gone)
        return 200, _status(200, "", "")

    def close(self) -> None:
        """End watches and controllers."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        for controller in self._controllers:
            controller.join()


def _status(code: int, reason: str, message: str) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: SigningApi

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._send(401, _status(401, "Unauthorized", "Unauthorized"))
        url = urlsplit(self.path)
        name, _, part = url.path.removeprefix(PATH).strip("/").partition("/")
        query = parse_qs(url.query)
        if "watch" in query and not name:
            return self._watch(query["fieldSelector"][0].removeprefix("metadata.name="), query["resourceVersion"][0])
        with self.api.changed:
            code, document = self._do(name, part, body)
            document = deepcopy(document)
        return self._send(code, document)

    def _do(self, name: str, part: str, body: bytes) -> tuple[int, Object]:
        if self.api.refuse:
            return self.api.refuse, _status(self.api.refuse, "Forbidden", "citadel may not create signing requests")
        if not self.path.startswith(PATH) or (name and name not in self.api.objects):
            return 404, _status(404, "NotFound", "not found")
        if self.command == "POST":
            return self.api.create(json.loads(body))
        if self.command == "PUT" and part == "approval":
            return self.api.approve(name, json.loads(body))
        if self.command == "DELETE":
            return self.api.delete(name)
        return 200, self.api.objects[name]

    def _send(self, code: int, document: Object) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, name: str, begin: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            self._tell(name, int(begin), open_ended=not self.api.short_watches)
        except OSError:  # the watcher has what it waited for
            self.close_connection = True

    def _tell(self, name: str, seen: int, *, open_ended: bool) -> None:
        while open_ended:
            for version, kind, document in self.api.wait_for_events(seen, name):
                line = json.dumps({"type": kind, "object": document}).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                seen, open_ended = version, kind != "DELETED"
            open_ended = open_ended and not self.api.closing
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    """Clients keep their connections."""
    request_queue_size = 128
    """Connections that may wait: Citadel asks for many certificates at once, and what finds no room is dropped."""


@contextmanager
def signing_api(signers: Mapping[str, Signer]) -> Iterator[SigningApi]:
    """The API for as long as the block lasts."""
    api, ca = SigningApi(dict(signers)), make_ca("a test's Kubernetes")
    shown = ca.issue(None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        chain, key = Path(directory, "chain.pem"), Path(directory, "key.pem")
        chain.write_bytes(shown.chain)
        key.write_bytes(shown.key.pem)
        context.load_cert_chain(chain, key)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    # Each handshake in the thread of its connection: none holds up those behind it.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    api.url, api.ca_pem = f"https://127.0.0.1:{server.server_port}", ca.root_pem
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="signing api")
    thread.start()
    try:
        yield api
    finally:
        api.close()
        server.shutdown()
        thread.join()
        server.server_close()


def signs_with(
    authority: Authority, *, life: timedelta | None = None, shown: bool = True, serial: int | None = None
) -> Signer:
    """A signer that copies the names of a request and keeps to its life, unless `life` is given.

    `shown`: what is between the leaf and the root is in the answer. `serial`: the number of all that it signs.
    """

    def sign(request: x509.CertificateSigningRequest, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        begin = datetime.now(UTC) - timedelta(minutes=1)
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(authority.certificate.subject)
            .public_key(request.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + (life or timedelta(seconds=spec["expirationSeconds"])))
            .add_extension(names.value, critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
            )
            .sign(authority.key, hashes.SHA256())
        )
        above, between = authority, []
        while above.issuer is not None:
            between.append(above.certificate)
            above = above.issuer
        return certificate_of(leaf, *(between if shown else ()))

    return sign


def certificate_of(*chain: x509.Certificate) -> Mapping[str, Any]:
    """The status with a chain."""
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
    return {"certificate": base64.b64encode(pem).decode()}


def decides(kind: str, reason: str, message: str) -> Signer:
    """A signer that says `Denied` or `Failed`."""

    def decide(_: x509.CertificateSigningRequest, __: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": message}]}

    return decide


def keeps_silent(_: x509.CertificateSigningRequest, __: Mapping[str, Any]) -> Mapping[str, Any]:
    """A signer whose controller is not there."""
    return {}
