"""The process: obeys commands from standard input, one a line, and answers each with one line of JSON.

proxies N            that many there are from now on: others join, or the last ones leave
complete SECONDS     how many have everything they asked for, when all have or at the deadline; when the first of these
                     had its first message, and when the last of them gave its last ACK (CLOCK_MONOTONIC)
mark                 forget what came before
reached N SECONDS    how many have been sent something since the mark: when N have, or at the deadline
arrivals             since the mark: for each proxy that was sent something when it gave its last ACK
                     (CLOCK_MONOTONIC), how many frames and bytes all were sent, and why streams have ended
again N              the first N leave, and join again with empty hands
held                 for each class how many of its proxies hold what, by digest
usage                processor time and memory of this process
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import uvloop
from meshcore.xds import registry

from bench.scale.client.node import namespace_of
from bench.scale.client.proxy import KINDS, LONGEST_PAUSE, Crowd, Proxy
from bench.scale.client.tls import context_of


class Process:
    """The proxies, and what is asked of them."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._proxies: list[Proxy] = []

    async def obey(self, command: str, *more: str) -> object:
        """Carry a command out; what it answers."""
        match command:
            case "proxies":
                return await self._resize(int(more[0]))
            case "complete":
                return await self._complete(float(more[0]))
            case "reached":
                wanted = int(more[0])
                await self._until(lambda: self._crowd.reached >= wanted, float(more[1]))
                return {"reached": self._crowd.reached}
            case "mark":
                self._crowd.reached = 0
                self._crowd.ends.clear()
                for proxy in self._proxies:
                    proxy.mark()
                return {}
            case "arrivals":
                return self._arrivals()
            case "again":
                return await self._again(int(more[0]))
            case "broken":
                for place in self._drawn(int(more[0])):
                    self._proxies[place].interrupt()
                return {}
            case "held":
                return self._held()
            case "usage":
                return usage()
        raise ValueError(f"there is no command {command!r}")

    async def _resize(self, count: int) -> object:
        while len(self._proxies) > count:
            self._proxies.pop().stop()
        fresh = [Proxy(self._crowd, number) for number in range(len(self._proxies), count)]
        self._proxies += fresh
        began = time.monotonic()
        await asyncio.gather(*(proxy.connect() for proxy in fresh))
        return {"began": began}

    async def _again(self, count: int) -> object:
        fresh = []
        for place in self._drawn(count):
            self._proxies[place].stop()
            self._proxies[place] = Proxy(self._crowd, self._proxies[place].number)
            fresh.append(self._proxies[place])
        await asyncio.gather(*(proxy.connect() for proxy in fresh))
        return {}

    def _drawn(self, count: int) -> list[int]:
        return self._crowd.draw.sample(range(len(self._proxies)), min(count, len(self._proxies)))

    async def _complete(self, seconds: float) -> object:
        waiting = set(self._proxies)

        def all_complete() -> bool:
            waiting.difference_update([proxy for proxy in waiting if proxy.complete])
            return not waiting

        await self._until(all_complete, seconds)
        complete = [proxy for proxy in self._proxies if proxy.complete]
        first = min((proxy.first for proxy in complete), default=0.0)
        return {"complete": len(complete), "first": first, "last": max((one.last for one in complete), default=0.0)}

    async def _until(self, true: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not true():
                    self._crowd.came.clear()
                    await self._crowd.came.wait()
                    await asyncio.sleep(0.002)  # many come at once: look once for all of them

    def _arrivals(self) -> object:
        return {
            "last": [proxy.last for proxy in self._proxies if proxy.frames],
            "frames": sum(proxy.frames for proxy in self._proxies),
            "bytes": sum(proxy.bytes for proxy in self._proxies),
            "ends": self._crowd.ends,
        }

    def _held(self) -> object:
        found: dict[int, Counter[str]] = {}
        for proxy in self._proxies:
            digests = (proxy.held[kind].digest if kind in proxy.held else 0 for kind in KINDS)
            text = " ".join(f"{digest:016x}" for digest in digests)
            found.setdefault(proxy.number % self._crowd.classes, Counter())[text] += 1
        return {str(kind): dict(counts) for kind, counts in sorted(found.items())}


def usage() -> dict[str, float]:
    """Processor seconds and resident MiB of this process."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"cpu_seconds": spent.ru_utime + spent.ru_stime, "mebibytes": pages * resource.getpagesize() / (1 << 20)}


async def main(options: argparse.Namespace) -> None:
    """Until standard input ends."""
    registry.load()
    gc.collect()
    gc.freeze()
    host, _, port = options.target.rpartition(":")
    folder = options.certificates and Path(options.certificates)
    contexts = tuple(context_of(folder, namespace_of(kind)) for kind in range(options.classes)) if folder else ()
    process = Process(
        Crowd(host.strip("[]"), int(port), options.classes, contexts, options.longest_pause, options.late)
    )
    await process.obey("proxies", str(options.proxies))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        print(json.dumps(await process.obey(*line)), flush=True)
    await process.obey("proxies", "0")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Simulated delta-ADS proxies.")
    parser.add_argument("--target", required=True, help="host:port of an ADS server")
    parser.add_argument("--proxies", type=int, default=0)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--certificates", help="folder of certificates, one for each class: mTLS")
    parser.add_argument("--late", type=float, default=0.0, help="seconds until a proxy answers")
    parser.add_argument("--longest-pause", type=float, default=LONGEST_PAUSE, help="seconds between attempts at most")
    uvloop.run(main(parser.parse_args()))
