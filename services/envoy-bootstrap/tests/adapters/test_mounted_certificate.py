"""A workload whose certificate is mounted as files: Citadel is not asked, and what is mounted anew is used at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from meshcore.testing.identity import TestCa
from meshcore.tls import ServiceIdentity, ssl_client_context

from .test_traffic import Traffic, client_resources, running, server_resources

ME = "spiffe://cluster.local/ns/shop/sa/{}"


class Mount:
    """A folder as a kubelet fills it: every file is a link into `..data`, which is a link that is turned."""

    def __init__(self, root: Path, folder: str) -> None:
        self.folder = root / folder
        self.folder.mkdir(parents=True)
        self._versions = 0

    def fill(self, identity: ServiceIdentity, key: ServiceIdentity | None = None) -> None:
        self._versions += 1
        version = self.folder / f"..version-{self._versions}"
        version.mkdir()
        content = {
            "cert-chain.pem": identity.chain,
            "key.pem": (key or identity).key.pem,
            "root-cert.pem": identity.root,
        }
        for name, pem in content.items():
            (version / name).write_bytes(pem)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        turned = self.folder / "..data_tmp"
        turned.symlink_to(version.name)
        turned.replace(self.folder / "..data")


class Connection:
    """One TLS connection of a caller that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.server_serial = x509.load_der_x509_certificate(shown).serial_number

    async def get(self) -> str:
        self._writer.write(b"GET / HTTP/1.1\r\nhost: server\r\n\r\n")
        head = await self._reader.readuntil(b"\r\n\r\n")
        return head.split(b"\r\n")[0].decode()


@asynccontextmanager
async def connected(ca: TestCa, ip: str) -> AsyncIterator[Connection]:
    context = ssl_client_context(ca.issue(ME.format("caller")))
    context.check_hostname = False
    reader, writer = await asyncio.open_connection(ip, 9080, ssl=context)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def test_mounted_certificates_are_used_and_replaced_without_a_reconnect(mesh: Any, make_resource: Any) -> None:
    client_ip, server_ip = mesh.claim.address(11), mesh.claim.address(12)
    mesh.pilot.resources["client"] = client_resources(make_resource, client_ip, server_ip)
    mesh.pilot.resources["server"] = server_resources(make_resource, server_ip)
    roots = {name: mesh.directory / f"{name}-root" for name in ("client", "server")}
    mounts = {
        "client": Mount(roots["client"], "var/run/secrets/workload-spiffe-credentials"),
        "server": Mount(roots["server"], "etc/certs"),
    }
    first = {name: mesh.ca.issue(ME.format(name)) for name in mounts}
    for name, mount in mounts.items():
        mount.fill(first[name])
    client, server = await asyncio.gather(
        mesh.start_ready("client", 1, root=roots["client"]), mesh.start_ready("server", 2, root=roots["server"])
    )
    async with connected(mesh.ca, server.ip) as caller, running(Traffic(f"http://{client.ip}:15002/")) as traffic:
        assert caller.server_serial == serial(first["server"])
        await mesh.until(lambda: serial(first["client"]) in seen(traffic), "the mounted certificate in use")
        second = {name: mesh.ca.issue(ME.format(name)) for name in mounts}
        # Half of a replacement: the last good pair stays, whatever the next connection asks.
        mounts["server"].fill(second["server"], key=first["server"])
        await mesh.until(lambda: "certificate files are not used" in server.log.read_text(), "a refused pair")
        for name, mount in mounts.items():
            mount.fill(second[name])
        await mesh.until(lambda: serial(second["client"]) in seen(traffic), "the client's new certificate in use")

        async def is_shown() -> bool:
            async with connected(mesh.ca, server.ip) as another:
                assert another.server_serial in {serial(one["server"]) for one in (first, second)}
                return another.server_serial == serial(second["server"])

        await mesh.until(is_shown, "the server's new certificate in use")
        assert await caller.get() == "HTTP/1.1 200 OK", "the connection of before goes on"
    assert traffic.failures == []
    assert traffic.callers == {ME.format("client")}
    assert mesh.citadel.issued == 0
    assert mesh.pilot.envoy_streams == {"client": 1, "server": 1}, "Envoy's stream to Pilot goes on"


async def test_files_that_must_come_are_waited_for(mesh: Any, make_resource: Any) -> None:
    folder = mesh.directory / "given"
    folder.mkdir()
    names = {"CERT_CHAIN": "chain.pem", "KEY": "key.pem", "ROOT_CERT": "root.pem"}
    given = {f"ISTIO_META_TLS_CLIENT_{part}": str(folder / name) for part, name in names.items()}
    workload = await mesh.start_workload("client", 1, FILE_MOUNTED_CERTS="true", **given)
    await mesh.until(lambda: "certificate files are not used" in workload.log.read_text(), "a word of what is missing")
    assert not await workload.ready()
    identity = mesh.ca.issue(ME.format("client"))
    (folder / "chain.pem").write_bytes(identity.chain)
    (folder / "key.pem").write_bytes(identity.key.pem)
    (folder / "root.pem").write_bytes(identity.root)
    await mesh.until(workload.ready, "ready with the files")
    assert mesh.citadel.issued == 0


def serial(identity: ServiceIdentity) -> int:
    return identity.certificate.serial_number


def seen(traffic: Traffic) -> set[int]:
    return {int(one, 16) for one in traffic.serials if one}
