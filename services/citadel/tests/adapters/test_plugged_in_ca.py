"""A Citadel whose authority is plugged in: used, changed while it runs, and never replaced by one of its own."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from citadel.adapters.first_start import InitOptions, initialise
from citadel.adapters.secret_discovery import SERVICE_NAME
from citadel.core.members import Installation
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.errors import MeshError
from meshcore.runtime import tasks
from meshcore.testing import openssl
from meshcore.testing.authorities import Authority, crl_pem, issue_below, make_authority
from meshcore.tls import LiveIdentity, ServiceIdentity, load_identity, renewal
from meshcore.xds.types import SECRET_TYPE

KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = make_authority("root")
FIRST, SECOND = (make_authority(name, ROOT) for name in ("first", "second"))
STRANGER = make_authority("stranger")


def plug_in(folder: Path, signer: Authority, roots: bytes = ROOT.pem, **more: bytes) -> None:
    folder.mkdir(exist_ok=True)
    files = {"ca-cert.pem": signer.pem, "ca-key.pem": signer.key_pem, "root-cert.pem": roots}
    for name, content in (files | {"cert-chain.pem": signer.pem} | more).items():
        (folder / name).write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plug_in(tmp_path / "cacerts", FIRST)
    return tmp_path / "cacerts"


@pytest.fixture
async def identity_directory(tmp_path: Path, folder: Path) -> Path:
    directory = tmp_path / "identity"
    await initialise(InitOptions(directory, Installation("cluster.local"), timedelta(days=1), plugged_in=folder))
    return directory


@pytest.fixture
async def citadel(identity_directory, issuer, start_citadel, folder):
    async with (
        start_citadel(identity_directory, issuer, plugged_in_dir=folder) as citadel,
        asyncio.timeout(60),
    ):
        await citadel.runtime.readiness.wait()
        yield citadel


def leaf_of(chain):
    return x509.load_pem_x509_certificate(chain[0].encode())


async def until(condition):
    async with asyncio.timeout(60):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)


async def signs(citadel, sign, signer):
    leaf = leaf_of(await citadel.create(sign(KEY), token=citadel.issuer.token()))
    return leaf.issuer == signer.certificate.subject


async def refusal(citadel):
    return (await citadel.get("/api/v1/ca")).json()["refusal"]


async def test_leaves_lead_through_the_intermediate_to_the_root_and_so_do_the_services(citadel, sign):
    chain = await citadel.create(sign(KEY), token=citadel.issuer.token())
    assert [x509.load_pem_x509_certificate(one.encode()).subject for one in chain[1:]] == [
        FIRST.certificate.subject,
        ROOT.certificate.subject,
    ]
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    openssl.accepts("".join(chain[:-1]), KEY.private_bytes(*form).decode(), chain[-1])
    pilot = load_identity(citadel.directory / "pilot")
    openssl.accepts(pilot.chain.decode(), pilot.key.pem.decode(), ROOT.pem.decode())
    shown = (await citadel.get("/api/v1/ca")).json()
    assert (shown["kind"], shown["refusal"]) == ("plugged-in", "")


async def test_an_operators_certificate_of_the_same_root_is_served(
    identity_directory, issuer, start_citadel, folder, sign, tmp_path
):
    shown = issue_below(FIRST, ROOT, None)
    (tmp_path / "tls.crt").write_bytes(shown.chain)
    (tmp_path / "tls.key").write_bytes(shown.key.pem)
    settings = {"plugged_in_dir": folder, "serving_certificate": tmp_path, "cert_provider": "custom"}
    async with start_citadel(identity_directory, issuer, **settings) as citadel:
        context = ssl.create_default_context(cadata=ROOT.pem.decode())
        _, writer = await asyncio.open_connection("127.0.0.1", citadel.port, ssl=context, server_hostname="localhost")
        seen = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.close()
        assert seen == shown.certificate
        assert leaf_of(await citadel.create(sign(KEY), token=issuer.token())).issuer == FIRST.certificate.subject


async def test_another_intermediate_is_used_without_a_restart_and_holders_of_the_former_one_renew(
    citadel, sign, folder
):
    front = await citadel.identity_of("shop", "front")
    plug_in(folder, SECOND)
    await until(lambda: signs(citadel, sign, SECOND))
    assert leaf_of(await citadel.create(sign(KEY), identity=front)).issuer == SECOND.certificate.subject

    async def serves_anew():
        return load_identity(citadel.directory / "citadel").certificate.issuer == SECOND.certificate.subject

    await until(serves_anew)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ca-key.pem": SECOND.key_pem}, "ca-key.pem: is not the key"),
        ({"ca-cert.pem": FIRST.pem[:200]}, "ca-cert.pem: is not made of whole PEM"),
        ({"cert-chain.pem": b""}, "cert-chain.pem: missing or empty"),
        ({"root-cert.pem": STRANGER.pem}, "root-cert.pem: no root in it has signed"),
    ],
    ids=["key of another", "half written", "emptied", "unrelated root"],
)
async def test_files_that_do_not_fit_are_told_and_change_nothing(citadel, sign, folder, change, words):
    """Attacks 13 and 14: edited to a mismatched key, half written."""
    for name, content in change.items():
        (folder / name).write_bytes(content)

    async def told():
        return words in await refusal(citadel)

    await until(told)
    assert await signs(citadel, sign, FIRST)
    plug_in(folder, SECOND)
    await until(lambda: signs(citadel, sign, SECOND))
    assert await refusal(citadel) == ""


async def test_a_whole_bundle_of_an_unrelated_root_is_refused(citadel, sign, folder):
    """Attack 15."""
    plug_in(folder, make_authority("below", STRANGER), STRANGER.pem)

    async def told():
        return "others than those in use" in await refusal(citadel)

    await until(told)
    assert await signs(citadel, sign, FIRST)


async def test_a_second_root_is_pushed_and_the_first_can_be_taken_away_later(citadel, sign, folder):
    """Attack 15."""
    front = await citadel.identity_of("shop", "front")
    async with citadel.channel(identity=front) as channel:
        call = channel.stream_stream(
            f"/{SERVICE_NAME}/DeltaSecrets",
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
        )()
        first = discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_subscribe=["ROOTCA"])
        await call.write(first)

        async def pushed():
            answer = await call.read()
            await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, response_nonce=answer.nonce))
            return secret_pb2.Secret.FromString(answer.resources[0].resource.value).validation_context

        assert (await pushed()).trusted_ca.inline_bytes == ROOT.pem
        plug_in(folder, FIRST, ROOT.pem + STRANGER.pem)
        assert (await pushed()).trusted_ca.inline_bytes == ROOT.pem + STRANGER.pem
        below = make_authority("below", STRANGER)
        plug_in(folder, below, ROOT.pem + STRANGER.pem)
        # The root that signs now comes first: holders renew when it is not theirs.
        assert (await pushed()).trusted_ca.inline_bytes == STRANGER.pem + ROOT.pem
        # Whoever believes only the first root would not believe Citadel itself any more.
        both = ServiceIdentity(front.key, front.chain, ROOT.pem + STRANGER.pem)
        assert leaf_of(await citadel.create(sign(KEY), identity=both)).issuer == below.certificate.subject
        plug_in(folder, below, STRANGER.pem)
        assert (await pushed()).trusted_ca.inline_bytes == STRANGER.pem
        call.cancel()


async def test_a_revoked_certificate_proves_nothing_and_the_lists_go_out_with_the_roots(citadel, sign, folder):
    """Attack 17."""
    front, other = [await citadel.identity_of("shop", name) for name in ("front", "other")]
    lists = crl_pem(ROOT) + crl_pem(FIRST, [front.certificate.serial_number])
    async with citadel.channel(identity=front) as channel, asyncio.timeout(60):
        call = channel.stream_stream(f"/{SERVICE_NAME}/DeltaSecrets")()
        first = discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_subscribe=["ROOTCA"])
        await call.write(first.SerializeToString())
        assert await call.read()
        plug_in(folder, FIRST, **{"ca-crl.pem": lists})
        # It is given no bundle any more, not even the one that says so.
        assert (await call.code()).name == "UNAUTHENTICATED"

    async def refused():
        return (await citadel.get("/api/v1/trust-bundle")).json()["revoked_pem"] != ""

    await until(refused)
    assert (await citadel.refusal(sign(KEY), identity=front))[0] == "UNAUTHENTICATED"
    assert await citadel.create(sign(KEY), identity=other)
    pilot = LiveIdentity.load(citadel.directory / "pilot")
    async with tasks.background(renewal.keep_current(pilot, f"127.0.0.1:{citadel.port}", "pilot-0"), name="pilot"):

        async def taken():
            return pilot.current.revoked == lists

        await until(taken)
        assert load_identity(citadel.directory / "pilot") == pilot.current
        assert pilot.current.revokes([front.certificate])
        assert not pilot.current.revokes([other.certificate])


async def test_rotation_is_the_operators_own(citadel):
    answer = await citadel.get("/api/v1/ca/rotation")
    assert answer.is_client_error
    assert "put the new root beside the old one" in answer.json()["detail"]


async def test_no_start_makes_a_root_in_place_of_a_plugged_in_one(identity_directory, issuer, start_citadel, folder):
    """Attack 14: never a self-signed fallback."""
    (folder / "ca-key.pem").unlink()
    with pytest.raises((MeshError, ExceptionGroup)) as incomplete:
        async with start_citadel(identity_directory, issuer, plugged_in_dir=folder):
            pass
    assert "ca-key.pem: missing or empty" in str(root_cause(incomplete.value))
    for name in folder.iterdir():
        name.unlink()
    for without in ({"plugged_in_dir": folder}, {}):
        with pytest.raises((MeshError, ExceptionGroup)) as gone:
            async with start_citadel(identity_directory, issuer, **without):
                pass
        assert "no root is made in its place" in str(root_cause(gone.value))


def root_cause(error: BaseException) -> BaseException:
    return root_cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def test_init_refuses_it_too(tmp_path, folder):
    (folder / "cert-chain.pem").unlink()
    with pytest.raises(MeshError, match=r"cert-chain.pem: missing"):
        await initialise(
            InitOptions(tmp_path / "x", Installation("cluster.local"), timedelta(days=1), plugged_in=folder)
        )
