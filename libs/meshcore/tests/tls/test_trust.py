"""Whoever follows the trust bundle says calmly that the authority is away."""

import asyncio
import socket

from meshcore.runtime import tasks
from meshcore.testing.identity import make_ca
from meshcore.tls import Bundle, TrustFollower
from structlog.testing import capture_logs

FRONT = make_ca().issue("spiffe://cluster.local/ns/shop/sa/front")


async def take(_: Bundle) -> str:
    return ""


async def test_an_authority_that_is_away_is_one_line_an_attempt_and_no_failure():
    said: asyncio.Queue[dict] = asyncio.Queue()

    def hear(logger, method, event):
        said.put_nowait(dict(event))
        return event

    with socket.socket() as away, capture_logs([hear]):
        away.bind(("127.0.0.1", 0))  # and nobody listens
        follower = TrustFollower(f"127.0.0.1:{away.getsockname()[1]}", "front-1", lambda: FRONT, take)
        async with tasks.background(follower.run(), name="follower"), asyncio.timeout(30):
            lines = [await said.get() for _ in range(2)]
    assert [(line["event"], line.get("code"), line.get("retry_in")) for line in lines] == [
        ("trust bundle is not followed", "UNAVAILABLE", 0.5),
        ("trust bundle is not followed", "UNAVAILABLE", 1.0),
    ]
