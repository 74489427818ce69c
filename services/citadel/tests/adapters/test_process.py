"""Citadel as a process: what it says, what it never says, and how it ends."""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.bus.last_copy import write_last_copy
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.keys import kv_key
from meshcore.distribution.records import make_record
from meshcore.distribution.state_copy import StateCopy
from meshcore.testing.addresses import claim

KEY = ec.generate_private_key(ec.SECP256R1())


class Process:
    """`python -m citadel` with its log lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, event: str) -> dict:
        """The first line with this event from now on."""
        async with asyncio.timeout(60):
            while True:
                line = (await self.process.stdout.readline()).decode()
                assert line, "".join(self.lines)
                self.lines.append(line)
                record = json.loads(line)
                if record["event"] == event:
                    return record

    async def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        rest, _ = await self.process.communicate()
        assert self.process.returncode == 0
        return "".join(self.lines) + rest.decode()


async def start(identity, **more: str) -> Process:
    environment = {
        "CITADEL_IDENTITY_DIR": str(identity / "citadel"),
        "CITADEL_STATE_DIR": str(identity / "state"),
        "CITADEL_LOG_FORMAT": "json",
        "CITADEL_LOG_LEVEL": "debug",
        "CITADEL_PORT": "0",
        "CITADEL_ADMIN_PORT": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "citadel",
        env=os.environ | environment | more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Process(process)


async def test_no_secret_is_ever_logged(identity_directory, issuer, start_citadel, sign, monkeypatch):
    """Attack 24."""
    process = await start(identity_directory, CITADEL_TOKEN_ISSUER=issuer.url)
    port = (await process.until("certificate service listening"))["port"]
    await process.until("token keys in use")
    async with start_citadel(identity_directory, issuer) as other:
        monkeypatch.setattr(other, "port", port)
        tokens = [issuer.token(), issuer.token(aud="other"), "a-token-that-is-not-a-jwt"]
        assert await other.create(sign(KEY), token=tokens[0])
        for token in tokens[1:]:
            assert (await other.refusal(sign(KEY), token=token))[0] == "UNAUTHENTICATED"
        assert (await other.refusal("rubbish", token=tokens[0]))[0] == "INVALID_ARGUMENT"
    output = await process.end()
    assert "certificate issued" in output
    assert "caller not authenticated" in output
    secrets = [*tokens, "PRIVATE KEY", *(part for token in tokens[:2] for part in token.split(".")[1:])]
    names = ("admin-token", "citadel/galley-token", "citadel/kek", "pilot/status-token")
    secrets += [(identity_directory / name).read_text() for name in names]
    accounts = [path.read_text() for path in identity_directory.glob("*/nats-user.json")]
    assert len(accounts) == 4
    secrets += [json.loads(account)["password"] for account in accounts]
    assert [secret for secret in secrets if secret in output] == []


async def test_it_starts_with_nats_away_and_reports_a_mesh_config_that_disagrees(identity_directory):
    key = kv_key("", "configmaps", "istio-system", "istio")
    document = {"metadata": {"name": "istio"}, "data": {"mesh": "trustDomain: other.example\n"}}
    record = make_record(key, "s", 1, document, "", datetime.now(UTC))
    digest = SetDigest()
    digest.add(record.digest)
    (identity_directory / "state").mkdir()
    write_last_copy(identity_directory / "state" / "mesh-config.json", StateCopy("s", 1, 1, str(digest), {key: record}))
    with claim() as block:
        process = await start(identity_directory, CITADEL_NATS_URL=f"nats://{block.address()}:4222")
        report = await process.until("mesh config names another trust domain")
        assert (report["named"], report["in_force"]) == ("other.example", "cluster.local")
        await process.end()


async def test_without_init_it_says_what_to_do(tmp_path):
    process = await start(tmp_path)
    output, _ = await process.process.communicate()
    assert process.process.returncode == 1
    assert b"cannot be read" in output


@pytest.mark.parametrize("variable", ["CITADEL_PORT", "DEFAULT_WORKLOAD_CERT_TTL"])
async def test_a_wrong_setting_is_named(tmp_path, variable):
    process = await start(tmp_path, **{variable: "nonsense"})
    output, _ = await process.process.communicate()
    assert process.process.returncode == 2
    assert variable.removeprefix("CITADEL_").lower() in output.decode().lower()
