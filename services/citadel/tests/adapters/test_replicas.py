"""Two whole Citadels over one PostgreSQL: one root, one rotation, and each answers as the other does."""

import asyncio
import shutil
from datetime import timedelta

import pytest
from citadel.adapters.first_start import InitOptions, initialise
from citadel.core.members import Installation
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.runtime import tasks
from meshcore.tls import LiveIdentity, renewal

KEY = ec.generate_private_key(ec.SECP256R1())
NAMES = ("galley", "injector", "pilot", "meshctl")


@pytest.fixture
def database(postgres):
    return postgres.new_database()


@pytest.fixture
async def identity_directory(tmp_path, database):
    options = InitOptions(
        tmp_path / "identity", Installation("cluster.local"), timedelta(days=3650), database_url=database
    )
    await initialise(options)
    return tmp_path / "identity"


@pytest.fixture
async def replicas(tmp_path, identity_directory, issuer, start_citadel, database):
    other = tmp_path / "other"
    shutil.copytree(identity_directory, other)
    async with (
        start_citadel(identity_directory, issuer, database_url=database, root_file=root_of(identity_directory)) as one,
        start_citadel(other, issuer, database_url=database, root_file=root_of(other)) as two,
        asyncio.timeout(100),
    ):
        for replica in (one, two):
            await replica.runtime.readiness.wait()
        yield one, two


def root_of(directory):
    """What newcomers believe; Citadel keeps it current."""
    return directory / "root-cert.pem"


async def until(look, what):
    try:
        async with asyncio.timeout(60):
            while True:
                if await look():
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not seen: {what}") from None


async def authority(replica):
    return (await replica.get("/api/v1/ca")).json()


def leaf_of(chain):
    return x509.load_pem_x509_certificate(chain[0].encode())


async def test_what_one_begins_the_other_carries_on_and_both_sign_alike(replicas, sign, monkeypatch):
    monkeypatch.setattr(renewal, "SETTLE", 0.0)
    one, two = replicas
    before = await authority(one)
    assert (await authority(two))["key_id"] == before["key_id"]
    # Half of the services follow one replica, half the other.
    ports = dict(zip(NAMES, (one.port, two.port) * 2, strict=True))
    identities = {name: LiveIdentity.load(one.directory / name) for name in NAMES}
    running = [
        tasks.create_task(renewal.keep_current(identity, f"127.0.0.1:{ports[name]}", name), name=name)
        for name, identity in identities.items()
    ]
    try:

        async def followed():
            items = (await two.get("/api/v1/ca/holders")).json()["items"]
            return len(items) == len(NAMES) and all(item["current"] for item in items)

        await until(followed, "every service follows the bundle")
        await one.post("/api/v1/ca/rotation", {})

        async def finished():
            return (await two.get("/api/v1/ca/rotation")).json()["phase"] is None

        await until(finished, "the rotation is finished")

        async def agree():
            found = [await authority(replica) for replica in replicas]
            return found[0] == found[1] and found[0]["key_id"] != before["key_id"] and len(found[0]["roots"]) == 1

        await until(agree, "both have the new root only")
        bundle = (await one.get("/api/v1/trust-bundle")).json()["pem"]

        async def told():
            return all(root_of(replica.directory).read_text() == bundle for replica in replicas)

        await until(told, "newcomers are told of the new root")
        assert root_of(two.directory).stat().st_mode & 0o777 == 0o644
        signers = {identity.current.certificate.issuer for identity in identities.values()}
        assert len(signers) == 1
        front = await two.identity_of("shop", "front")
        renewed = leaf_of(await one.create(sign(KEY), identity=front))
        key_id = (await authority(one))["key_id"]
        for leaf in (front.certificate, renewed):
            row = (await one.get(f"/api/v1/certificates/{leaf.serial_number:x}")).json()
            assert row["signer"] == key_id
        actions = [row["action"] for row in (await two.get("/api/v1/ca/audit")).json()["items"]]
        assert actions == ["rotation finished", "rotation: the new root signs", "rotation begun", "root made"]
    finally:
        await tasks.cancel(*running)
