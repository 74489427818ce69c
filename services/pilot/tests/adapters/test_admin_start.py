"""What a start imports before it serves, and that the admin API waits for the first proxies and not for ever."""

import asyncio
import subprocess
import sys

from meshcore.runtime import Readiness
from pilot.adapters import admin_start

LATE = {"aiohttp", "rich", "pygments", "click", "fastapi", "starlette", "uvicorn", "opentelemetry.exporter"}
LATE |= {"meshcore.model.mixer.policy", "meshcore.model.mixer.adapters", "meshcore.model.gateway_api.routes"}


def test_nothing_that_serving_does_not_need_is_imported_before_it():
    code = "import pilot.__main__, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "pilot.core.compiler" in modules
    assert modules & LATE == set()


async def test_the_admin_api_waits_until_the_first_proxies_are_served():
    readiness, looks = Readiness(), iter([True, True, False])
    readiness.expect("ads")
    waiting = asyncio.create_task(admin_start.first_proxies_served(readiness, lambda: next(looks)))
    await asyncio.sleep(0)
    assert not waiting.done()
    readiness.set("ads", True)
    await waiting
    assert list(looks) == []


async def test_the_admin_api_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(admin_start, "LONGEST", 0.05)
    readiness = Readiness()
    readiness.expect("ads")
    await admin_start.first_proxies_served(readiness, lambda: True)
    assert not readiness.conditions["ads"].ok
