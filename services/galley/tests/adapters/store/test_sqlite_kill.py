"""kill -9 of the process that writes: every acknowledged write is there afterwards, and nothing is half done."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from galley.adapters.store import Store
from meshcore.distribution.digest import SetDigest

WRITER = """
import asyncio, sys
from galley.adapters.store import Store
from galley.core.storage import Verb, WriteOp
from meshcore.distribution.keys import Key

async def main():
    async with await Store.open(sys.argv[1]) as store:
        first = await store.revision()
        async def write(number):
            pair = [Key("g", "things", "ns", f"{side}-{first}-{number}") for side in ("left", "right")]
            ops = [WriteOp(Verb.CREATE, key, {"spec": number}, {"spec": number}) for key in pair]
            result = await store.write(ops, "writer")
            print(result.revision, pair[0].name, flush=True)
        async def writer(start):
            for number in range(start, 10**6, 4):
                await write(number)
        await asyncio.gather(*(writer(start) for start in range(4)))

asyncio.run(main())
"""


async def test_every_acknowledged_write_survives_kill_9(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/galley.db"
    acknowledged: dict[str, int] = {}
    for lines in (1, 60):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(lines):
            revision, name = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()
            acknowledged[name] = int(revision)
        process.send_signal(signal.SIGKILL)
        for line in (await process.stdout.read()).decode().splitlines(keepends=True):
            if line.endswith("\n"):
                acknowledged[line.split()[1]] = int(line.split()[0])
        await process.wait()
    async with await Store.open(url) as store:
        found = {item.key.name: item.revision for item in (await store.list("g", "things")).items}
        assert acknowledged.items() <= found.items()
        for name, revision in found.items():
            side, rest = name.split("-", 1)
            assert found[f"{'right' if side == 'left' else 'left'}-{rest}"] == revision
        assert sorted(set(found.values())) == list(range(1, await store.revision() + 1))
        state = await store.published_state()
        total = SetDigest()
        for record in state.records.values():
            total.add(record.digest)
        assert str(total) == state.head.digest
