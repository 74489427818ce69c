"""`wait` and `request`, as containers' life cycles and people run them."""

import asyncio
import os
import sys
from typing import Any


async def command(*words: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "envoy_bootstrap",
        *words,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_waiting_ends_when_the_proxy_is_ready_and_with_the_reason_when_it_is_not(mesh: Any) -> None:
    await mesh.stop_pilot()
    workload = await mesh.start_workload("front", 1)
    await mesh.until(lambda: "envoy started" in workload.log.read_text(), "Envoy's start")
    url = f"http://{workload.ip}:15020/healthz/ready"
    # The first answer takes a busy machine the longest; then there is time enough for one more.
    assert (await workload.get(15020, "/healthz/ready")).status_code == 503
    times = ("--timeoutSeconds", "3", "--requestTimeoutMillis", "3000", "--periodMillis", "100")
    code, _, said = await command("wait", "--url", url, *times)
    assert code == 1
    assert "the proxy is not ready after 3 s: it answers 503" in said
    waiting = asyncio.create_task(command("wait", "--url", f"http://{workload.ip}:15021/healthz/ready"))
    await mesh.start_pilot()
    assert await waiting == (0, "", "")
    assert await workload.ready()


async def test_nobody_there(mesh: Any) -> None:
    url = f"http://{mesh.claim.address(9)}:15021/healthz/ready"
    code, _, said = await command("wait", "--url", url, "--timeoutSeconds", "0.3", "--periodMillis", "100")
    assert (code, said) == (1, "the proxy is not ready after 0.3 s: it does not answer\n")


async def test_commands_find_the_proxy_by_what_the_workload_is_told(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1)
    own = {"ISTIO_META_INTERCEPTION_MODE": "NONE", "INSTANCE_IP": workload.ip}
    assert await command("wait", "--timeoutSeconds", "30", **own) == (0, "", "")
    code, out, _ = await command("request", "GET", "server_info", STATE_DIR=str(workload.state))
    assert code == 0
    assert '"state": "LIVE"' in out
    code, _, said = await command("request", "GET", "/no-such-page", STATE_DIR=str(workload.state))
    assert code == 1
    assert "404" in said
    code, _, said = await command("request", "--debug-port", "1", "POST", "drain")
    assert code == 1
    assert "no answer to POST /drain" in said
