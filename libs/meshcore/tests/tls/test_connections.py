import resource
import ssl
from dataclasses import replace
from datetime import timedelta

import grpc
import httpx
import pytest
from cryptography import x509
from meshcore.errors import MeshError
from meshcore.http import TokenAuthenticator, create_app, listening
from meshcore.runtime import Readiness
from meshcore.testing.authorities import Authority, crl_pem, issue_below, make_authority
from meshcore.testing.identity import TestCa, make_ca, write_identity
from meshcore.tls import (
    LiveIdentity,
    PrivateKeyPem,
    ServiceIdentity,
    finish_saving,
    grpc_channel_credentials,
    grpc_root_credentials,
    grpc_server_credentials,
    load_identity,
    peer_spiffe,
    save_identity,
    spiffe_of_certificate,
    ssl_client_context,
    ssl_root_context,
    ssl_server_context,
    unrevoked_chain,
    write_private,
)
from meshcore.tls import identity as identity_module
from meshcore.tls.revocation import revocation_lists

PILOT = "spiffe://cluster.local/ns/istio-system/sa/pilot"
FRONT = "spiffe://cluster.local/ns/shop/sa/front"
OWN_CONNECTIONS = [("grpc.use_local_subchannel_pool", 1)]
"""None that another channel has left in its pause after a failure."""


class WhoAmI(grpc.GenericRpcHandler):
    def __init__(self, identity):
        self.identity = identity

    def service(self, handler_call_details):
        async def answer(request: bytes, context) -> bytes:
            try:
                if self.identity is not None:
                    unrevoked_chain(context, self.identity)
            except MeshError as error:
                return error.detail.encode()
            return str(peer_spiffe(context)).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


async def grpc_server(credentials, identity=None) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([WhoAmI(identity)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    return server, port


async def ask(port: int, credentials) -> str:
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, OWN_CONNECTIONS) as channel:
        return (await channel.unary_unary("/who/AmI")(b"", timeout=60)).decode()


async def test_a_grpc_caller_is_known_by_its_certificate():
    ca = make_ca()
    server, port = await grpc_server(grpc_server_credentials(ca.issue(PILOT)))
    try:
        assert await ask(port, grpc_channel_credentials(ca.issue(FRONT))) == FRONT
        with pytest.raises(grpc.aio.AioRpcError) as stranger:
            await ask(port, grpc_channel_credentials(make_ca().issue(FRONT)))
        assert stranger.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(port, grpc_root_credentials(ca.root_pem))
    finally:
        await server.stop(0)


async def test_a_grpc_server_presents_a_renewed_certificate_without_a_restart():
    ca = make_ca()
    live = LiveIdentity(ca.issue(PILOT, ips=["127.0.0.9"]))
    server, port = await grpc_server(grpc_server_credentials(live, require_client=False))
    try:
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(port, grpc_root_credentials(ca.root_pem))
        live.replace(ca.issue(PILOT))
        assert await ask(port, grpc_root_credentials(ca.root_pem)) == "None"
    finally:
        await server.stop(0)


async def test_https_knows_callers_by_certificate_and_takes_renewed_certificates():
    ca = make_ca()
    live = LiveIdentity(ca.issue(PILOT))
    app = create_app("galley", "1", Readiness(), (), TokenAuthenticator(None, trust_domain="cluster.local"))
    context = ssl_server_context(live, client_certificates="optional")
    async with listening(app, "127.0.0.1", 0, context) as port:
        url = f"https://127.0.0.1:{port}/debug/tasks"

        async def status(verify: ssl.SSLContext) -> int:
            async with httpx.AsyncClient(verify=verify) as client:
                return (await client.get(url)).status_code

        assert await status(ssl_client_context(ca.issue(PILOT))) == 200
        assert await status(ssl_client_context(ca.issue(FRONT))) == 401
        assert await status(ssl_root_context(ca.root_pem)) == 401
        live.replace(ca.issue(PILOT, ips=["127.0.0.9"]))
        with pytest.raises(httpx.ConnectError):
            await status(ssl_root_context(ca.root_pem))


async def test_https_takes_no_certificate_that_is_revoked_or_has_one_above_it_on_open_connections_too():
    ca = make_ca()
    authority = Authority("root", ca.key, ca.certificate)
    between = make_authority("between", authority)
    live = LiveIdentity(ca.issue(PILOT))
    app = create_app("galley", "1", Readiness(), (), TokenAuthenticator(None, trust_domain="cluster.local"))
    context = ssl_server_context(live, client_certificates="optional")
    async with listening(app, "127.0.0.1", 0, context, identity=live) as port:
        url = f"https://127.0.0.1:{port}/debug/tasks"
        for shown in (ca.issue(PILOT), issue_below(between, ca, PILOT)):
            async with httpx.AsyncClient(verify=ssl_client_context(shown)) as client:
                assert (await client.get(url)).status_code == 200
                chain = x509.load_pem_x509_certificates(shown.chain)
                revoked = crl_pem(authority, [chain[-1].serial_number])
                live.replace(replace(live.current, revoked=revoked))
                assert (await client.get(url)).status_code == 401
                live.replace(replace(live.current, revoked=b""))
                assert (await client.get(url)).status_code == 200


async def test_a_root_that_is_dropped_is_believed_no_more_by_servers_and_clients():
    old, new = make_ca("old"), make_ca("new")

    def both(ca, roots):
        issued = ca.issue(PILOT)
        return ServiceIdentity(issued.key, issued.chain, b"".join(root.root_pem for root in roots))

    server, client = LiveIdentity(both(old, [old, new])), LiveIdentity(both(old, [old, new]))
    app = create_app("galley", "1", Readiness(), (), TokenAuthenticator(None, trust_domain="cluster.local"))
    context, verify = ssl_server_context(server, client_certificates="required"), ssl_client_context(client)
    async with listening(app, "127.0.0.1", 0, context) as port:
        url = f"https://127.0.0.1:{port}/debug/tasks"

        async def status() -> int:
            async with httpx.AsyncClient(verify=verify) as http:
                return (await http.get(url)).status_code

        assert await status() == 200
        server.replace(both(new, [new]))
        with pytest.raises(httpx.TransportError):
            await status()  # the server believes the client's root no more
        client.replace(both(new, [old, new]))
        assert await status() == 200
        client.replace(both(new, [old]))
        with pytest.raises(httpx.ConnectError):
            await status()  # and the client not the server's


async def test_a_certificate_of_another_authority_is_refused_even_where_none_is_needed():
    ca = make_ca()
    context = ssl_server_context(ca.issue(PILOT), client_certificates="optional")
    app = create_app("galley", "1", Readiness())
    stranger = ssl_client_context(make_ca().issue(PILOT))
    stranger.load_verify_locations(cadata=ca.root_pem.decode())
    async with listening(app, "127.0.0.1", 0, context) as port, httpx.AsyncClient(verify=stranger) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"https://127.0.0.1:{port}/healthz")


async def test_a_revoked_peer_proves_nobody_though_its_signatures_are_good():
    """Attack 17: the leaf, or an authority between it and the root; who has no list is not refused for that."""
    root = make_authority("root")
    lower, other = make_authority("lower", root), make_authority("other", root)

    def issued(authority):
        leaf = TestCa(authority.key, authority.certificate).issue(PILOT)
        return ServiceIdentity(leaf.key, leaf.chain + authority.pem, root.pem)

    stolen, good, below, unlisted = issued(lower), issued(lower), issued(other), issued(make_authority("third", root))
    lists = (
        crl_pem(root, [other.certificate.serial_number])
        + crl_pem(lower, [stolen.certificate.serial_number])
        + crl_pem(other)
    )
    live = LiveIdentity(replace(issued(lower), revoked=lists))
    server, port = await grpc_server(grpc_server_credentials(live), live)
    app = create_app("galley", "1", Readiness(), (), TokenAuthenticator(None, trust_domain="cluster.local"))
    context = ssl_server_context(live, client_certificates="optional")
    try:
        async with listening(app, "127.0.0.1", 0, context, identity=live) as web:

            async def status(identity) -> int:
                async with httpx.AsyncClient(verify=ssl_client_context(identity)) as client:
                    return (await client.get(f"https://127.0.0.1:{web}/debug/tasks")).status_code

            for welcome in (good, unlisted):
                assert await ask(port, grpc_channel_credentials(welcome)) == PILOT
                assert await status(welcome) == 200
            for revoked in (stolen, below):
                assert await ask(port, grpc_channel_credentials(revoked)) == "the client certificate is revoked"
            assert await status(stolen) == 401
        with pytest.raises(ValueError, match="PEM"):
            revocation_lists(lists[:-40])
    finally:
        await server.stop(0)


def test_a_replaced_identity_is_on_disk_before_it_is_used(tmp_path):
    ca = make_ca()
    directory = write_identity(tmp_path / "pilot", ca.issue(PILOT))
    live = LiveIdentity.load(directory)
    seen = []
    live.on_change(lambda identity: seen.append(load_identity(directory) == identity))
    renewed = ca.issue(PILOT, ttl=timedelta(hours=2))
    live.replace(renewed)
    assert seen == [True]
    assert live.current.spiffe == renewed.spiffe
    assert (directory / "key.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in directory.iterdir()) == ["cert-chain.pem", "key.pem", "root-cert.pem"]


def test_a_missing_file_is_named_and_a_key_is_never_shown(tmp_path):
    with pytest.raises(MeshError, match=r"key\.pem"):
        load_identity(tmp_path)
    identity = make_ca().issue(PILOT)
    assert "PRIVATE KEY" not in repr(identity)
    assert f"{PrivateKeyPem(b'abc')}" == "PrivateKeyPem([redacted])"


def test_only_one_uri_name_is_an_identity():
    ca = make_ca()
    assert str(spiffe_of_certificate(ca.issue(PILOT).certificate)) == PILOT
    for other in (None, "https://cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a"):
        assert ca.issue(other).spiffe is None


@pytest.mark.parametrize("killed_before", ["key.pem", "cert-chain.pem", "root-cert.pem"])
def test_killed_while_saving_the_new_identity_is_whole(tmp_path, monkeypatch, killed_before):
    ca = make_ca()
    directory = write_identity(tmp_path / "pilot", ca.issue(PILOT))
    renewed = ca.issue(PILOT)
    write = identity_module.write_private

    def killed(path, content, mode=0o600):
        if path.name == killed_before:
            raise KeyboardInterrupt
        write(path, content, mode)

    with monkeypatch.context() as patched:
        patched.setattr(identity_module, "write_private", killed)
        with pytest.raises(KeyboardInterrupt):
            save_identity(directory, renewed)
    assert load_identity(directory) == renewed
    finish_saving(directory)
    assert (directory / "key.pem").read_bytes() == renewed.key.pem
    assert not (directory / ".renewal.json").exists()


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "key.pem"
    write_private(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_private(path, b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
