import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from meshcore.testing.envoy import running_envoy, validate


@pytest.fixture
def short_dir() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="mc-"))
    yield directory
    shutil.rmtree(directory)


def test_a_bootstrap_is_accepted_or_refused_with_envoys_reason():
    validate({"static_resources": {"clusters": [{"name": "one", "connect_timeout": "1s"}]}})
    with pytest.raises(AssertionError, match="no_such_field"):
        validate({"no_such_field": 1})


async def test_envoy_runs_for_as_long_as_the_block_lasts(short_dir):
    async with running_envoy({"node": {"id": "n", "cluster": "c"}}, short_dir) as envoy:
        await envoy.wait_live()
        assert await envoy.stat("server.live") == 1
        assert '"id": "n"' in await envoy.get("/server_info")
    assert envoy.process.returncode is not None


async def test_an_envoy_that_ends_at_once_says_why(short_dir):
    async with running_envoy({"static_resources": {"clusters": [{"name": ""}]}}, short_dir) as envoy:
        with pytest.raises(AssertionError, match="ClusterValidationError"):
            await envoy.wait_live()
