"""Attacks on authorization, each at a real Envoy with what Pilot makes of the policies, with its safe outcome.

The numbers are those of the project's list of attacks. 31 to 33 (tokens) are tested with RequestAuthentication.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from meshcore.model.load import Document
from meshcore.testing.addresses import Claim
from meshctl.core.validation import validate_documents
from pilot.core.simulation.normal_paths import normal_path

sys.path.insert(0, str(Path(__file__).parent))

from guarded_workload import REFUSED, TCP, UNSAID, guarded, policy, request

NONE, BASE, MERGE, DECODE = "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"
BAD = ""
"""Refused as no request at all."""
PATHS = {
    # what is sent: what the application sees with NONE, BASE, MERGE_SLASHES and DECODE_AND_MERGE_SLASHES
    "/admin": ("/admin", "/admin", "/admin", "/admin"),
    "/admin?x": ("/admin?x", "/admin?x", "/admin?x", "/admin?x"),
    "/admin#x": ("/admin", "/admin", "/admin", "/admin"),
    "/admin//": ("/admin//", "/admin//", "/admin/", "/admin/"),
    "//admin": ("//admin", "//admin", "/admin", "/admin"),
    "/%61dmin": ("/%61dmin", "/admin", "/admin", "/admin"),
    "/%2fadmin": ("/%2fadmin", "/%2fadmin", "/%2fadmin", "/admin"),
    "/%5Cadmin": ("/%5Cadmin", "/%5Cadmin", "/%5Cadmin", "/admin"),
    "/./admin": ("/./admin", "/admin", "/admin", "/admin"),
    "/x/../admin": ("/x/../admin", "/admin", "/admin", "/admin"),
    "/x/%2e%2E/admin": ("/x/%2e%2E/admin", "/admin", "/admin", "/admin"),
    "/x/..%2fadmin": ("/x/..%2fadmin", "/x/..%2fadmin", "/x/..%2fadmin", "/admin"),
    "/../admin": ("/../admin", "/admin", "/admin", "/admin"),
    "/x\\..\\admin": ("/x\\..\\admin", "/admin", "/admin", "/admin"),
    "/admin/.": ("/admin/.", "/admin/", "/admin/", "/admin/"),
    "/admin;x": ("/admin;x", "/admin;x", "/admin;x", "/admin;x"),
    "/ADMIN": ("/ADMIN", "/ADMIN", "/ADMIN", "/ADMIN"),
    "/admin.": ("/admin.", "/admin.", "/admin.", "/admin."),
    "/%2561dmin": ("/%2561dmin", "/%2561dmin", "/%2561dmin", "/%2561dmin"),
    "/%252fadmin": ("/%252fadmin", "/%252fadmin", "/%252fadmin", "/%252fadmin"),
    "/admin%00": ("/admin%00", BAD, BAD, BAD),
    "http://other/admin": ("/admin", "/admin", "/admin", "/admin"),
    "\\admin": (BAD, BAD, BAD, BAD),
    "admin": (BAD, BAD, BAD, BAD),
    "*": (BAD, BAD, BAD, BAD),
}


@pytest.mark.parametrize("mode", [NONE, BASE, MERGE, DECODE])
async def test_attack_27_a_path_is_judged_as_the_application_sees_it(block: Claim, tmp_path: Path, mode: str) -> None:
    rules = policy("[{to: [{operation: {paths: [/admin]}}]}]")
    column = [NONE, BASE, MERGE, DECODE].index(mode)
    async with guarded(block, tmp_path, rules, {"pathNormalization": {"normalization": mode}}) as door:
        for sent, seen in PATHS.items():
            reply = await door.ask(sent)
            wanted = seen[column]
            if wanted == BAD:
                assert (reply.status, reply.saw) == (400, {}), sent
            elif wanted.partition("?")[0] == "/admin":
                assert (reply.status, reply.saw) == (REFUSED, {}), sent
            else:
                assert (reply.status, reply.saw.get("path")) == (200, wanted), sent


def test_attack_27_the_simulator_sees_the_same_paths_as_envoy() -> None:
    for column, (normal, merged, escaped) in enumerate(
        [(False, False, 1), (True, False, 1), (True, True, 1), (True, True, 4)]
    ):
        manager = SimpleNamespace(
            normalize_path=SimpleNamespace(value=normal),
            merge_slashes=merged,
            path_with_escaped_slashes_action=escaped,
        )
        for sent, seen in PATHS.items():
            if seen[column] != BAD and sent.startswith("/"):
                assert normal_path(manager, sent) == seen[column], sent


@pytest.mark.parametrize("sent", ["/open/../admin", "/open/..%2fadmin", "/open/x/../../admin", "/open/%2e%2e/admin"])
async def test_attack_27_an_allowed_prefix_opens_nothing_else(block: Claim, tmp_path: Path, sent: str) -> None:
    rules = policy('[{to: [{operation: {paths: ["/open/*"]}}]}]', "ALLOW")
    mesh = {"pathNormalization": {"normalization": DECODE}}
    async with guarded(block, tmp_path, rules, mesh) as door:
        assert (await door.ask("/open/a")).status == 200
        assert (await door.ask(sent)).status == REFUSED


HOSTS = {
    "shop.example": REFUSED,
    "SHOP.Example": REFUSED,
    "shop.example.": REFUSED,
    "shop.example:80": REFUSED,  # a DENY rule for a host is for all of its ports
    "shop.example.:80": REFUSED,
    "user@shop.example": REFUSED,
    "user:word@shop.example:80": REFUSED,
    "shop.example:80:80": 200,  # no host of that name
    "other.example": 200,
    "shop.example.other": 200,
    "xshop.example": 200,
    "127.0.0.1": 200,
    "a.wild.example": REFUSED,
    "A.wild.example.:8080": REFUSED,
    "a.wild.example.org": 200,
    "begins.org:80": REFUSED,
    "me@begins.org": REFUSED,
}


async def test_attack_28_a_host_is_denied_in_every_spelling(block: Claim, tmp_path: Path) -> None:
    rules = policy('[{to: [{operation: {hosts: [shop.example, "*.wild.example", "begins.*"]}}]}]')
    async with guarded(block, tmp_path, rules) as door:
        for host, wanted in HOSTS.items():
            assert (await door.ask(host=host)).status == wanted, host
        assert (await door.ask("http://shop.example/x", host="other")).status == REFUSED
        assert (await door.ask(host="")).status in (200, 400)
        assert (await door.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")).status == 400
        twice = await door.ask(host="other.example\r\nHost: shop.example")
        assert (twice.status, twice.saw.get("headers", {}).get("host")) == (200, ["other.example,shop.example"])


async def test_attack_28_a_host_that_is_allowed_is_the_one_that_is_written(block: Claim, tmp_path: Path) -> None:
    rules = policy('[{to: [{operation: {hosts: [shop.example, "other.example:*"]}}]}]', "ALLOW")
    async with guarded(block, tmp_path, rules) as door:
        for host, wanted in {
            "shop.example": 200,
            "Shop.example.": 200,
            "shop.example:80": REFUSED,
            "user@shop.example": REFUSED,
            "other.example:80": 200,
            "other.example": REFUSED,
            "shop.example,evil": REFUSED,
        }.items():
            assert (await door.ask(host=host)).status in (wanted, 400), host


HEADERS = {
    "x-role: admin\r\n": REFUSED,
    "X-ROLE: admin\r\n": REFUSED,
    "x-role:   admin  \r\n": REFUSED,
    "x-role: user\r\nx-role: admin\r\n": REFUSED,
    "x-role: admin\r\nx-role: user\r\n": REFUSED,
    "x-role: user, admin ,guest\r\n": REFUSED,
    "x-role: root-7\r\n": REFUSED,
    "x-role: user\r\nx-role: root-7, x\r\n": REFUSED,
    "x-role: my-boss, x\r\n": REFUSED,
    "x-role: ADMIN\r\n": 200,  # values are told apart by case
    "x-role: administrator\r\n": 200,
    "x-role:\r\n": 200,
    "": 200,
    "x-role: " + "a" * 50_000 + "\r\n": 200,
    "x-role: " + "a" * 59_000 + "\r\nx-role: admin\r\n": REFUSED,
    "x-role: " + "a" * 62_000 + "\r\nx-role: admin\r\n": 431,
    "x-role : admin\r\n": 400,
    "x-a: b\r\n x-role: admin\r\n": 200,  # a folded line is one header, to the application too
    "x-role: ad\0min\r\n": 400,
}


async def test_attack_29_a_denied_header_is_denied_however_it_comes(block: Claim, tmp_path: Path) -> None:
    rules = policy('[{when: [{key: "request.headers[X-Role]", values: [admin, "root*", "*-boss"]}]}]')
    async with guarded(block, tmp_path, rules) as door:
        for lines, wanted in HEADERS.items():
            assert (await door.ask(headers=lines)).status == wanted, lines[:60]


async def test_attack_29_an_allowed_header_is_one_of_its_lines(block: Claim, tmp_path: Path) -> None:
    rules = policy('[{when: [{key: "request.headers[x-role]", values: [user]}]}]', "ALLOW")
    async with guarded(block, tmp_path, rules) as door:
        for lines in ("x-role: user\r\n", "x-role: user\r\nx-role: admin\r\n"):
            assert (await door.ask(headers=lines)).status == 200, lines
        for lines in ("x-role: user,admin\r\n", "x-role: User\r\n", "x-role: \r\n", "x-role-: user\r\n", ""):
            assert (await door.ask(headers=lines)).status == REFUSED, lines


async def test_attack_30_methods_are_whole_and_known(block: Claim, tmp_path: Path) -> None:
    async with guarded(block, tmp_path, policy("[{to: [{operation: {methods: [POST]}}]}]")) as door:
        assert (await door.ask(method="POST")).status == REFUSED
        assert (await door.ask(method="GET")).status == 200
        for odd in ("post", "Post", "POSTS", "FOO", "P"):
            assert (await door.ask(method=odd)).status == 400, odd
        assert (await door.ask("shop:80", method="CONNECT")).status in (400, 403, 404)
    async with guarded(block, tmp_path, policy("[{to: [{operation: {methods: [GET]}}]}]", "ALLOW")) as door:
        preflight = "origin: http://a\r\naccess-control-request-method: GET\r\n"
        assert (await door.ask(method="OPTIONS", headers=preflight)).status == REFUSED
        assert (await door.ask(method="HEAD")).status == REFUSED


OPEN = ((":method", "GET"), (":scheme", "http"), (":path", "/open"), (":authority", "shop"))


def changed(*headers: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The open request of HTTP/2 with these in place of its own, or behind them."""
    other = dict(headers)
    own = tuple((name, other.pop(name, value)) for name, value in OPEN)
    return (*own, *other.items())


HTTP2 = {
    "as it is": (OPEN, 200),
    "denied path": (changed((":path", "/admin")), REFUSED),
    "fragment": (changed((":path", "/admin#x")), REFUSED),
    "dots": (changed((":path", "/x/../admin")), REFUSED),
    "no path of a request": (changed((":path", "admin")), 0),
    "absolute form": (changed((":path", "http://shop/admin")), 0),
    "two paths": ((*OPEN, (":path", "/admin")), 0),
    "another request in the path": (changed((":path", "/open HTTP/1.1\r\n\r\nGET /admin")), 0),
    "another request in the method": (changed((":method", "GET /admin HTTP/1.1\r\nx: ")), 0),
    "a line in the host": (changed((":authority", "shop\r\nx-role: admin")), 0),
    "a line in a header": (changed(("x-a", "b\r\nx-role: admin")), 0),
    "a header in capitals": (changed(("X-Role", "admin")), 0),
    "a header twice": ((*OPEN, ("x-role", "user"), ("x-role", "admin")), REFUSED),
    "cookies in two lines": ((*OPEN, ("cookie", "a=b"), ("cookie", "role=admin")), REFUSED),
    "another cookie": ((*OPEN, ("cookie", "a=b"), ("cookie", "role=administrator")), 200),
    "chunks": (changed(("transfer-encoding", "chunked")), 0),
    "a denied host": (changed((":authority", "SHOP.example.:80")), REFUSED),
    "a user before the host": (changed((":authority", "me@shop.example")), 0),
    "a host in its header": ((*OPEN[:3], ("host", "shop.example")), REFUSED),
    "the denied host, and another": (changed((":authority", "shop.example"), ("host", "other")), REFUSED),
    "two hosts": ((*OPEN[:3], ("host", "other"), ("host", "shop.example")), 0),
    "a denied method": (changed((":method", "POST")), REFUSED),
    "a method in small letters": (changed((":method", "post")), REFUSED),
    "a method in both": (changed((":method", "Post")), REFUSED),
}
"""Headers, and the status; 0 when the connection or the stream is ended instead."""


async def test_attack_30_and_others_over_http2(block: Claim, tmp_path: Path) -> None:
    """Attacks 27 to 30: what HTTP/1.1 cannot write."""
    rules = policy(
        "[{to: [{operation: {paths: [/admin]}}, {operation: {hosts: [shop.example]}}, {operation: {methods: [POST]}}]}]"
    ) + policy('[{when: [{key: "request.headers[x-role]", values: [admin]}]}]', name="roles")
    rules += policy('[{when: [{key: "request.headers[Cookie]", values: [role=admin]}]}]', name="cookies")
    async with guarded(block, tmp_path, rules) as door:
        for what, (headers, status) in HTTP2.items():
            assert await door.ask_http2(headers) == status, what
        for line in ("role=admin", "a=b; role=admin", "a=b, role=admin", "a=b\r\nCookie: role=admin"):
            assert (await door.ask(headers=f"Cookie: {line}\r\n")).status == REFUSED, line
        # Of two hosts the application sees the one that was judged.
        assert await door.ask_http2((*OPEN, ("host", "shop.example"))) == 200
    allowing = policy("[{to: [{operation: {methods: [GET]}}]}]", "ALLOW")
    async with guarded(block, tmp_path, allowing) as door:
        assert [await door.ask_http2(changed((":method", one))) for one in ("GET", "get", "POST")] == [200, 403, 403]


SMUGGLED = {
    "after a body of length 0": request(method="POST", headers="Content-Length: 0\r\n", keep=True) + request("/admin"),
    "behind an upgrade": request(headers="Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", keep=True) + request("/admin"),
    "behind another request": request("/open", keep=True) + request("/admin"),
}


@pytest.mark.parametrize("way", SMUGGLED)
async def test_attack_27_a_second_request_is_judged_too(block: Claim, tmp_path: Path, way: str) -> None:
    async with guarded(block, tmp_path, policy("[{to: [{operation: {paths: [/admin]}}]}]")) as door:
        first, *others = await door.send_all(SMUGGLED[way])
        assert first.status in (200, 403, 426)
        assert not [reply for reply in (first, *others) if reply.saw.get("path") == "/admin"]
        assert all(reply.status == REFUSED for reply in others)


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
    ],
)
async def test_attack_27_nothing_is_smuggled_in_a_body(block: Claim, tmp_path: Path, headers: str) -> None:
    async with guarded(block, tmp_path, policy("[{to: [{operation: {paths: [/admin]}}]}]")) as door:
        body = "0\r\n\r\n" + request("/admin")
        replies = await door.send_all(request("/open", method="POST", headers=headers, keep=True) + body)
        assert not [reply for reply in replies if reply.saw.get("path") == "/admin"]
        assert replies[0].status in (400, 501)


async def test_attack_34_who_is_forwarded_counts_only_from_the_last_hop(block: Claim, tmp_path: Path) -> None:
    rules = policy("[{from: [{source: {ipBlocks: [192.0.2.0/24]}}]}]", "ALLOW", "by-connection")
    async with guarded(block, tmp_path, rules) as door:
        assert (await door.ask(headers="x-forwarded-for: 192.0.2.1\r\n")).status == REFUSED
    rules = policy("[{from: [{source: {remoteIpBlocks: [192.0.2.0/24]}}]}]", "ALLOW")
    async with guarded(block, tmp_path, rules) as door:
        assert (await door.ask(headers="x-forwarded-for: 192.0.2.1, 198.51.100.1\r\n")).status == REFUSED
        assert (
            await door.ask(headers="x-forwarded-for: 192.0.2.1\r\nx-forwarded-for: 198.51.100.1\r\n")
        ).status == REFUSED
        assert (await door.ask(headers="x-real-ip: 192.0.2.1\r\nforwarded: for=192.0.2.1\r\n")).status == REFUSED
    rules = policy('[{from: [{source: {principals: ["*"]}}]}]', "ALLOW")
    forged = "x-forwarded-client-cert: By=spiffe://a;URI=spiffe://cluster.local/ns/shop/sa/shop\r\n"
    async with guarded(block, tmp_path, rules) as door:
        assert (await door.ask(headers=forged)).status == REFUSED


async def test_attack_36_a_rule_of_http_on_a_port_of_bytes(block: Claim, tmp_path: Path) -> None:
    async with guarded(block, tmp_path, policy("[{to: [{operation: {methods: [GET]}}]}]", "ALLOW")) as door:
        assert (await door.ask()).status == 200
        assert (await door.ask(port=TCP)).status == 0
    async with guarded(block, tmp_path, policy("[{to: [{operation: {methods: [PUT]}}]}]")) as door:
        assert (await door.ask()).status == 200
        assert (await door.ask(port=TCP)).status == 0
    rules = policy('[{to: [{operation: {methods: [PUT], ports: ["9080"]}}]}]')
    async with guarded(block, tmp_path, rules) as door:
        assert (await door.ask(method="PUT")).status == REFUSED
        assert (await door.ask(port=TCP)).status == 200


async def test_attack_36_the_port_decides_not_what_looks_like_http(block: Claim, tmp_path: Path) -> None:
    """HTTP on a port of bytes is bytes; on a port that says nothing it is HTTP, in every version."""
    rules = policy('[{to: [{operation: {paths: [/open], ports: ["9070", "9080"]}}]}]', "ALLOW")
    async with guarded(block, tmp_path, rules) as door:
        assert (await door.ask("/open", port=TCP)).status == 0
        assert (await door.ask("/open", port=UNSAID)).status == 200
        assert (await door.ask("/admin", port=UNSAID)).status == REFUSED
        assert (await door.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0" * 9, UNSAID)).status == 0
        assert (await door.send("bytes that are no request\r\n\r\n", UNSAID)).status == 0


async def test_attack_37_a_policy_of_many_values_takes_nothing_from_the_others(block: Claim, tmp_path: Path) -> None:
    many = ", ".join(f"/p{number}" for number in range(10_000))
    hosts = ", ".join(f'"*.h{number}.example"' for number in range(2_000))
    rules = policy(f"[{{to: [{{operation: {{paths: [{many}]}}}}]}}]", name="many")
    rules += policy(f"[{{to: [{{operation: {{hosts: [{hosts}]}}}}]}}]", name="hosts")
    async with guarded(block, tmp_path, rules + policy("[{to: [{operation: {paths: [/admin]}}]}]")) as door:
        assert (await door.ask("/p9999")).status == REFUSED
        assert (await door.ask("/p10000")).status == 200
        assert (await door.ask(host="a.h1999.example")).status == REFUSED
        assert (await door.ask("/admin")).status == REFUSED


LONG = "a" * 40_000
EXPRESSIONS = [
    [{"from": [{"source": {"principals": [f"*{LONG}"]}}]}],
    [{"from": [{"source": {"namespaces": [LONG]}}]}],
    [{"when": [{"key": "source.namespace", "values": [f"*{LONG}*"]}]}],
    [{"to": [{"operation": {"hosts": [LONG]}}]}],
    [{"when": [{"key": "request.headers[x]", "values": [LONG]}]}],
]
"""Values of which Envoy's regular expressions would be larger than it takes."""


@pytest.mark.parametrize(
    "rules",
    [
        [{"from": [{"source": {"ipBlocks": ["10.0.0.0/33"]}}]}],
        [{"from": [{"source": {"ipBlocks": ["10.0.0"]}}]}],
        [{"from": [{"source": {"principals": [""]}}]}],
        [{"to": [{"operation": {"paths": ["/{*"]}}]}],
        [{"to": [{"operation": {"paths": ["a/{*}"]}}]}],
        [{"to": [{"operation": {"paths": ["/" + "a" * 300 + "/{*}"]}}]}],
        [{"to": [{"operation": {"ports": ["70000"]}}]}],
        [{"when": [{"key": "request.header[x]", "values": ["a"]}]}],
        [{"when": [{"key": "destination.ip", "values": ["a"]}]}],
        *EXPRESSIONS,
    ],
)
def test_attack_37_what_envoy_would_refuse_is_refused_before(rules: list[object]) -> None:
    metadata = {"name": "p", "namespace": "shop"}
    body = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata}
    refused = {**body, "spec": {"action": "DENY", "rules": rules}}
    fine = {**body, "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin"]}}]}]}}
    verdicts = validate_documents([Document("in.yaml", 1, item) for item in (refused, fine)])
    assert [verdict.valid for verdict in verdicts] == [False, True]
    assert {error.field.split("[")[0] for error in verdicts[0].errors} == {"spec.rules"}


@pytest.mark.parametrize("rules", EXPRESSIONS)
async def test_attack_37_an_expression_that_is_too_large_takes_nothing_from_the_others(
    block: Claim, tmp_path: Path, rules: list[object]
) -> None:
    """Of a policy that nobody has checked: it denies more than it says, and the listener stands."""
    async with guarded(
        block, tmp_path, policy(json.dumps(rules)) + policy("[{to: [{operation: {paths: [/b]}}]}]", name="q")
    ) as door:
        assert (await door.ask("/b")).status == REFUSED
        assert (await door.ask("/a")).status == REFUSED
    allowing = policy(json.dumps(rules), "ALLOW") + policy("[{to: [{operation: {paths: [/b]}}]}]", "ALLOW", "q")
    async with guarded(block, tmp_path, allowing) as door:
        assert (await door.ask("/b")).status == 200
        assert (await door.ask("/a")).status == REFUSED
