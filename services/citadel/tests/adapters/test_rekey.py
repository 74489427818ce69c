import base64

import pytest
from citadel.adapters import rekey_command
from citadel.adapters.database import open_database
from citadel.adapters.rekey_command import rekey, replace_key
from citadel.adapters.root_store import RootStore
from citadel.core.sealing import parse_keks
from meshcore.errors import MeshError


async def opened(directory, text):
    engine = await open_database(f"sqlite+aiosqlite:///{directory / 'citadel.db'}")
    try:
        return (await RootStore(engine, lambda: parse_keks(text)).load()).root
    finally:
        await engine.dispose()


async def test_the_former_key_opens_nothing_any_more_and_the_root_is_the_same(identity_directory):
    directory = identity_directory / "citadel"
    former = (directory / "kek").read_text()
    before = await opened(directory, former)
    await replace_key(directory)
    present = (directory / "kek").read_text()
    assert (present != former, len(parse_keks(present))) == (True, 1)
    assert (directory / "kek").stat().st_mode & 0o777 == 0o600
    after = await opened(directory, present)
    assert after.key.private_numbers() == before.key.private_numbers()
    with pytest.raises(MeshError, match="another key-encryption key"):
        await opened(directory, former)


@pytest.mark.parametrize("after", [1, 2])
async def test_killed_between_two_writes_everything_still_opens_and_the_next_run_completes(
    identity_directory, monkeypatch, after
):
    """Attack 13."""
    directory = identity_directory / "citadel"
    writes = []

    def write(path, content):
        if len(writes) == after - 1:
            raise KeyboardInterrupt
        writes.append(content)
        path.write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr(rekey_command, "write_private", write)
        with pytest.raises(KeyboardInterrupt):
            await replace_key(directory)
    assert await opened(directory, (directory / "kek").read_text())
    await replace_key(directory)
    assert len(parse_keks((directory / "kek").read_text())) == 1


async def test_a_running_citadel_goes_on_with_the_new_key(identity_directory, issuer, start_citadel):
    async with start_citadel(identity_directory, issuer) as citadel:
        await replace_key(identity_directory / "citadel")
        begun = await citadel.post("/api/v1/ca/rotation", {})
        assert begun["phase"] == "distributing"


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert rekey(["--dir", str(tmp_path)]) == 1
    assert "kek" in capsys.readouterr().err
    (tmp_path / "kek").write_bytes(base64.b64encode(bytes(32)))
    assert rekey(["--dir", str(tmp_path)]) == 1
    assert "there is no root" in capsys.readouterr().err
