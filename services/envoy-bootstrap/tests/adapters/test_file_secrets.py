"""Files that Envoy asks for are read when it asks and again when they change."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy_bootstrap.adapters import watched_files
from envoy_bootstrap.adapters.file_secrets import FileSecrets
from envoy_bootstrap.core.discovery import Versioned
from meshcore.runtime import tasks
from meshcore.testing.identity import make_ca
from meshcore.xds.secret_names import SYSTEM_ROOTS, file_key_pair, file_root

CA = make_ca()


class Watched:
    """What was offered, and when."""

    def __init__(self) -> None:
        self._offers: asyncio.Queue[Mapping[str, Versioned]] = asyncio.Queue()
        self.files = FileSecrets(self._offers.put_nowait, ["/"])

    async def next(self, name: str) -> secret_pb2.Secret:
        async with asyncio.timeout(60):
            return secret_pb2.Secret.FromString((await self._offers.get())[name].body)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    async with tasks.background(made.files.watch(), name="files"):
        yield made


async def test_a_pair_that_changes(watched: Watched, tmp_path: Path) -> None:
    """Attack 21."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    first, second = CA.issue(None), CA.issue(None)
    name = file_key_pair(str(chain), str(key))
    watched.files.asked([name, "default"])
    chain.write_bytes(first.chain)
    key.write_bytes(first.key.pem)
    assert (await watched.next(name)).tls_certificate.certificate_chain.inline_bytes == first.chain
    chain.write_bytes(second.chain)
    key.write_bytes(second.key.pem)
    found = (await watched.next(name)).tls_certificate
    assert (found.certificate_chain.inline_bytes, found.private_key.inline_bytes) == (second.chain, second.key.pem)


def served(offers: list[Mapping[str, Versioned]], name: str) -> tuple[bytes, bytes]:
    found = secret_pb2.Secret.FromString(offers[-1][name].body).tls_certificate
    return found.certificate_chain.inline_bytes, found.private_key.inline_bytes


def test_attack_21_of_files_that_are_deleted_or_half_replaced_the_last_good_pair_stays(tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    first, second = CA.issue(None), CA.issue(None)
    name = file_key_pair(str(chain), str(key))
    offers: list[Mapping[str, Versioned]] = []
    files = FileSecrets(offers.append, [str(tmp_path)])
    files.asked([name])
    chain.write_bytes(first.chain)
    key.write_bytes(first.key.pem)
    assert look(files, offers)
    assert served(offers, name) == (first.chain, first.key.pem)
    for change in (
        lambda: key.write_bytes(second.key.pem),
        chain.unlink,
        key.unlink,
        lambda: chain.write_bytes(second.chain),
        lambda: key.write_bytes(second.key.pem[:100]),
        lambda: (chain.unlink(), chain.mkdir()),
    ):
        change()
        assert not look(files, offers)
    chain.rmdir()
    chain.write_bytes(second.chain)
    key.write_bytes(second.key.pem)
    assert look(files, offers)
    assert served(offers, name) == (second.chain, second.key.pem)


def test_attack_21_a_link_that_is_turned_while_files_are_read_never_mixes_two_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mounted Secret is replaced: one link for all files, turned between the reads of the chain and of the key."""
    pairs = [CA.issue(None), CA.issue(None)]
    for number, pair in enumerate(pairs):
        version = tmp_path / f"version-{number}"
        version.mkdir()
        (version / "chain.pem").write_bytes(pair.chain)
        (version / "key.pem").write_bytes(pair.key.pem)
    turned = [0]

    def turn() -> None:
        turned[0] += 1
        new = tmp_path / "new"
        new.symlink_to(f"version-{turned[0] % 2}")
        new.replace(tmp_path / "data")

    turn()
    name = file_key_pair(str(tmp_path / "data" / "chain.pem"), str(tmp_path / "data" / "key.pem"))
    offers: list[Mapping[str, Versioned]] = []
    files = FileSecrets(offers.append, [str(tmp_path)])
    files.asked([name])
    assert look(files, offers)
    read = watched_files.content

    def read_and_turn(path: str) -> bytes | None:
        found = read(path)
        turn()
        return found

    good = {(pair.chain, pair.key.pem) for pair in pairs}
    with monkeypatch.context() as patched:
        patched.setattr(watched_files, "content", read_and_turn)
        for _ in range(20):
            turn()
            look(files, offers)
            assert served(offers, name) in good
    turn()
    look(files, offers)
    current = pairs[turned[0] % 2]
    assert served(offers, name) == (current.chain, current.key.pem)


def look(files: FileSecrets, offers: list[Mapping[str, Versioned]]) -> bool:
    """One look at all files; whether there was something new."""
    news = files._look(dict(files._names))
    if news:
        offers.append(dict(files._served))
    return news


async def test_a_root_of_a_file_and_those_of_the_system(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "root.pem"
    file.write_bytes(CA.root_pem)
    name = file_root(str(file))
    watched.files.asked([name])
    assert (await watched.next(name)).validation_context.trusted_ca.inline_bytes == CA.root_pem
    watched.files.asked([SYSTEM_ROOTS])
    assert b"BEGIN CERTIFICATE" in (await watched.next(SYSTEM_ROOTS)).validation_context.trusted_ca.inline_bytes


def test_attack_20_a_file_outside_of_the_folders_is_not_read_and_told_with_its_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEM that is good, beside the folder that may be read, above it, and through it."""
    inside, beside = tmp_path / "certs", tmp_path / "certs-of-others"
    pair = CA.issue(None)
    for folder in (inside, beside):
        folder.mkdir()
        (folder / "chain.pem").write_bytes(pair.chain)
        (folder / "key.pem").write_bytes(pair.key.pem)
        (folder / "root.pem").write_bytes(CA.root_pem)
    offers: list[Mapping[str, Versioned]] = []
    files = FileSecrets(offers.append, [str(inside)])
    monkeypatch.chdir(inside)
    good = file_key_pair(f"{inside}/chain.pem", f"{inside}//./key.pem")
    refused = {
        file_root(f"{beside}/root.pem"): "caCertificates: ",
        file_root(f"{inside}/../certs-of-others/root.pem"): "caCertificates: ",
        file_root("root.pem"): "caCertificates: ",
        file_root(str(inside)): "caCertificates: ",
        file_root(f"{inside}/root.pem", "/etc/shadow"): "caCrl: ",
        file_key_pair(f"{inside}/chain.pem", "/etc/shadow"): "privateKey: ",
        file_key_pair(f"{beside}/chain.pem", f"{inside}/key.pem"): "serverCertificate or clientCertificate: ",
    }
    for _ in range(2):
        files.asked([*refused, good, SYSTEM_ROOTS])
    look(files, offers)
    assert served(offers, good) == (pair.chain, pair.key.pem)
    assert set(offers[-1]) - {SYSTEM_ROOTS} == {good}
    told = [line for line in capsys.readouterr().out.splitlines() if "file is not served" in line]
    for name, field in refused.items():
        assert (
            len(
                [
                    line
                    for line in told
                    if line.endswith(f"resource={name}") and field in line and "MESHCORE_FILE_FOLDERS" in line
                ]
            )
            == 1
        )


def test_attack_20_what_is_in_a_file_that_is_no_pem_is_neither_served_nor_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of somebody else's, and a key where a certificate is wanted."""
    secret = "root:$6$whatever:19000:0:99999:7:::"
    (tmp_path / "shadow").write_text(secret)
    (tmp_path / "key.pem").write_bytes(CA.issue(None).key.pem)
    offers: list[Mapping[str, Versioned]] = []
    files = FileSecrets(offers.append, [str(tmp_path)])
    shadow, key = f"{tmp_path}/shadow", f"{tmp_path}/key.pem"
    files.asked([file_root(shadow), file_key_pair(shadow, shadow), file_key_pair(key, key), file_root(key)])
    look(files, offers)
    assert not offers or not set(offers[-1])
    told = "".join(capsys.readouterr())
    assert "file" in told
    assert not [part for part in (secret, "$6$", "PRIVATE KEY", CA.root_pem.decode()[40:80]) if part in told]
