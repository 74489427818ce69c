"""Traffic rows: what a mesh is told, what is called, and what must come of it, all as data.

A row is one file `<area>/<row>.yaml` of a folder; `features.yaml` of each area lists the capabilities that rows may
show, `areas.yaml` the areas, `workloads.yaml` and `mesh.yaml` are the mesh that the rows share. The same row is run
through real Envoys and answered by the simulator.

Texts of a row may say `$ns` (the namespace that the row owns), `$proxy(NAME)` and `$app(NAME)` (the loopback addresses
of a workload's Envoy and of its application), `$row` (the row's name) and, in the URL and headers of an HTTP call,
`$n` (the number of the request in its call, from 0). `$token(NAME)` is a token of `tokens.yaml`, `$keys(NAME)` the key
set of one of its keys, `$issuer(NAME)` the URL at which that key set and, under it, OIDC discovery are served.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from meshcore.testing.tokens import TokenMint

COUNTER = "$n"
FEATURES = "features.yaml"
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "grpc": 80, "grpcs": 443}
NO_SERVER = "http://issuers.invalid"
"""Where issuers are when nothing serves them."""
NotSimulated = Literal[
    "",
    "an authorizer decides",
    "the handshake decides",
    "filters that patches add",
    "it happens at the same time",
    "bytes before the protocol",
    "proxies before a gateway",
    "headers that proxies write by themselves",
    "the size of a request",
    "copies beyond the next proxy",
]
"""What does not follow from the resources that proxies are sent, or what the simulator does not go into."""
_PLACE = re.compile(r"\$(?:(ns|row)(?![a-z])|(proxy|app|token|keys|issuer)\(([a-z0-9-]+)\))")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Seen(_Strict):
    """What the application says that reached it. A text that begins with `~` is a regular expression for all of it."""

    path: str | None = None
    method: str | None = None
    host: str | None = None
    caller: str | None = None
    """SPIFFE id that the client's certificate proved; empty for plaintext."""
    body: str | None = None
    protocol: str | None = None
    sni: str | None = None
    tls: bool | None = None
    """Whether the application itself was spoken to in TLS."""
    nth: int | None = None
    """Which request of its connection to the application it was, from 1 (HTTP/1.1)."""
    headers: Mapping[str, str | None] = Field(default_factory=dict)
    """By lower-case name; null for a header that must not come."""


class Expectation(_Strict):
    """What must come of a call; whatever is not said is not looked at, but for `status`, which is 200 by default."""

    status: int | None = None
    """Of every answer; 0 when the connection is refused or closed without one."""
    statuses: Mapping[int, float] | None = None
    """Per cent of the answers with each status, in place of `status`."""
    backends: Mapping[str, float] | None = None
    """Per cent of the answers that each workload gives (of those that a workload gave); exact without others."""
    one_backend: bool = False
    """All answers come from the same workload, whichever."""
    tolerance: float | None = None
    """Percentage points; six standard deviations of that many draws by default."""
    headers: Mapping[str, str | None] = Field(default_factory=dict)
    """Of every answer, by lower-case name; null for a header that must not be there."""
    location: str | None = None
    body: str | None = None
    """Of an answer that no echo gave, and of TCP."""
    saw: Seen = Field(default_factory=Seen)
    copies: Mapping[str, float] | None = None
    """Per cent of the calls that each workload got, mirrors included; workloads that got none are left out."""
    attempts: int | None = None
    """How many times applications were asked, all workloads together, for one call."""
    at_least: float | None = None
    """Seconds that an answer takes at least (delays, timeouts)."""
    under: float | None = None
    """Seconds within which it comes; only to tell a timeout from the upstream's own delay."""
    grpc_status: int | None = None
    ends: bool | None = None
    """Whether the other side ends a connection of bytes while the call lingers."""

    @model_validator(mode="after")
    def _one_of_them(self) -> "Expectation":
        if self.status is not None and self.statuses is not None:
            raise ValueError("status and statuses exclude each other")
        return self

    @property
    def status_shares(self) -> Mapping[int, float]:
        """Per cent of the answers with each status."""
        if self.statuses is not None:
            return self.statuses
        return {200 if self.status is None else self.status: 100.0}


class RowCall(_Strict):
    """One kind of request and how often it is sent.

    It goes through the mesh HTTP proxy of the workload `from`, or straight to the address `to` (`host:port`), which is
    how a caller without a sidecar arrives (`from: outside`), and how bound listeners and gateways are dialled. The
    scheme says how to speak: http, https, ws (an HTTP upgrade), grpc, grpcs (host is the authority, path the method),
    tcp or tls (`body` is sent, what comes back is the answer's body).
    """

    source: str = Field(default="client", alias="from")
    url: str
    to: str = ""
    method: str = "GET"
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: str = ""
    sni: str = ""
    """Server name of the client's TLS; the URL's host by default."""
    count: int = 1
    parallel: bool = False
    """All of them at the same time, instead of one after the other."""
    keep_cookies: bool = False
    keep_headers: tuple[str, ...] = ()
    """Headers of an answer, in lower case, that the requests after it bring back."""
    linger: float = 0.0
    """Seconds for which a connection of bytes is kept after its answer, unless the other side ends it."""
    meanwhile: "RowCall | None" = None
    """Another call (HTTP) that is under way all the time: this one begins when applications have been asked as often as
    `meanwhile.expect.attempts` says (once) for each of its requests, and what comes of them is not looked at."""
    eventually: bool = False
    """Sent again until the expectation holds: for what Envoy does in its own time."""
    not_simulated: NotSimulated = ""
    """Why the simulator has nothing to say about it."""
    expect: Expectation = Field(default_factory=Expectation)

    def numbered(self, number: int) -> "RowCall":
        """The call as its request of that number (from 0) says it."""
        if COUNTER not in self.url and not any(COUNTER in value for value in self.headers.values()):
            return self
        headers = {name: value.replace(COUNTER, str(number)) for name, value in self.headers.items()}
        return self.model_copy(update={"url": self.url.replace(COUNTER, str(number)), "headers": headers})

    @property
    def scheme(self) -> str:
        """How to speak."""
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        """The host without the port."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port of the URL or of its scheme."""
        return urlsplit(self.url).port or DEFAULT_PORTS[self.scheme]

    @property
    def target(self) -> str:
        """Path and query."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Document(_Strict):
    feature: str | tuple[str, ...]
    docs: str
    config: str | list[Any] = Field(default_factory=list)
    mesh: Mapping[str, Any] = Field(default_factory=dict)
    calls: tuple[RowCall, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Row:
    """One row, with every placeholder filled in.

    `config` are objects, each with its namespace; one of kind Namespace is what that namespace is like meanwhile.
    `mesh` are fields of MeshConfig that hold while it runs.
    """

    area: str
    name: str
    features: tuple[str, ...]
    docs: str
    config: tuple[Mapping[str, Any], ...]
    mesh: Mapping[str, Any]
    calls: tuple[RowCall, ...]

    @property
    def id(self) -> str:
        """`area/row`, as the file is called."""
        return f"{self.area}/{self.name}"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where its objects are, by name."""
        return tuple(sorted({item["metadata"]["namespace"] for item in self.config if "namespace" in item["metadata"]}))


class Feature(_Strict):
    """A capability that rows show. `why_not` says why none does; `test` is another test that shows it, a file or
    `file::function`."""

    name: str
    area: str
    priority: Literal["core", "important", "rare"]
    does: str
    why_not: str = ""
    test: str = ""


class SharedWorkload(_Strict):
    """One workload of the shared mesh: an entry of a workloads file but for what follows from its name."""

    name: str
    namespace: str = "default"
    service_account: str
    labels: Mapping[str, str]
    ports: tuple[int, ...] = ()
    type: Literal["sidecar", "router"] = "sidecar"

    @property
    def registers(self) -> bool:
        """Whether it is an endpoint of services."""
        return bool(self.ports)

    @property
    def has_echo(self) -> bool:
        """Whether an application stands behind it."""
        return bool(self.ports) and self.type == "sidecar"


@dataclass(frozen=True)
class TrafficFolder:
    """A folder of rows and what they share."""

    path: Path

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The capabilities, in the order of the areas and of their files."""
        return tuple(
            Feature(area=area, **item)
            for area in self.areas
            for item in yaml.safe_load((self.path / area / FEATURES).read_text())
        )

    @cached_property
    def areas(self) -> Mapping[str, str]:
        """Areas and their titles."""
        return dict(yaml.safe_load((self.path / "areas.yaml").read_text()))

    @cached_property
    def workloads(self) -> tuple[SharedWorkload, ...]:
        """The workloads, in the order in which the stack numbers them (from 1)."""
        return tuple(SharedWorkload(**item) for item in yaml.safe_load((self.path / "workloads.yaml").read_text()))

    @cached_property
    def mint(self) -> TokenMint:
        """The tokens that rows may name, and their keys."""
        return TokenMint(self.path / "tokens.yaml")

    @cached_property
    def config(self) -> tuple[Mapping[str, Any], ...]:
        """The objects that are always there."""
        return tuple(yaml.safe_load_all((self.path / "mesh.yaml").read_text()))

    @cached_property
    def row_files(self) -> tuple[Path, ...]:
        """Every row, by name."""
        return tuple(sorted(path for path in self.path.glob("*/*.yaml") if path.name != FEATURES))

    def row(self, path: Path, addresses: Mapping[str, tuple[str, str]], issuers: str = NO_SERVER) -> Row:
        """Read one row; `addresses` are (Envoy, application) by workload, `issuers` the URL of the server of keys.
        ValueError says what is wrong with it."""
        area, name = path.parent.name, path.stem

        def value(word: str, of: str) -> str:
            match word:
                case "ns":
                    return f"{area}-{name}"
                case "row":
                    return name
                case "token":
                    return self.mint.token(of, issuers)
                case "keys":
                    return self.mint.key_set(of)
                case "issuer":
                    return f"{issuers}/{of}"
            return addresses[of][word == "app"]

        document = _Document.model_validate(_filled(yaml.safe_load(path.read_text()), value))
        features = (document.feature,) if isinstance(document.feature, str) else document.feature
        known = {feature.name for feature in self.features}
        if unknown := set(features) - known:
            raise ValueError(f"{path}: no features.yaml lists {', '.join(sorted(unknown))}")
        sources = {"outside", *(workload.name for workload in self.workloads)}
        if strangers := {call.source for call in document.calls} - sources:
            raise ValueError(f"{path}: no workload is called {', '.join(sorted(strangers))}")
        config = tuple(_placed(item, f"{area}-{name}") for item in _objects(document.config))
        return Row(area, name, features, document.docs, config, document.mesh, document.calls)


def workload_group(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The WorkloadGroup in which a workload of a workloads file registers."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": entry["group"], "namespace": entry["namespace"]},
        "spec": {
            "metadata": {"labels": dict(entry["labels"])},
            "template": {"serviceAccount": entry["service_account"]},
        },
    }


def _objects(config: str | list[Any]) -> list[Any]:
    found = [item for item in yaml.safe_load_all(config) if item] if isinstance(config, str) else config
    return list(json.loads(json.dumps(found)))  # as the API takes it: all keys are texts


def _placed(item: Mapping[str, Any], namespace: str) -> Mapping[str, Any]:
    if item["kind"] in ("Namespace", "Node", "IngressClass"):
        return item
    return {**item, "metadata": {"namespace": namespace, **item["metadata"]}}


def _filled(text: Any, value: Callable[[str, str], str]) -> Any:
    """Every text with its placeholders replaced; an unknown name is a KeyError."""
    if isinstance(text, str):
        return _PLACE.sub(lambda found: value(found[1] or found[2], found[3] or ""), text)
    if isinstance(text, Mapping):
        return {_filled(key, value): _filled(item, value) for key, item in text.items()}
    if isinstance(text, list):
        return [_filled(item, value) for item in text]
    return text
