"""A watched directory: good documents are config, bad ones are errors, files that go take their objects along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from galley.adapters.sources import DirectorySource
from galley.adapters.store import Store
from meshcore import metrics

GOOD = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: "{value}"}}\n'


def config_map(name: str, value: str = "v") -> str:
    return GOOD.format(name=name, value=value)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "config"
    made.mkdir()
    return made


@pytest.fixture
def source(directory: Path) -> DirectorySource:
    return DirectorySource(directory, interval=0.02, again_after=0.05)


class Maps:
    """The config maps that are in the store: name -> value."""

    def __init__(self, store: Store, until: Any) -> None:
        self._store = store
        self._until = until

    async def now(self) -> dict[str, str]:
        page = await self._store.list("", "configmaps", "default")
        return {item.key.name: item.object["data"]["key"] for item in page.items}

    async def become(self, **wanted: str) -> None:
        async def reached() -> bool:
            return await self.now() == wanted

        await self._until(reached)


@pytest.fixture
def maps(store: Store, until: Any) -> Maps:
    return Maps(store, until)


async def faults(intake: Any, until: Any, count: int) -> list[Any]:
    async def reached() -> bool:
        return len(intake.report().faults) == count

    await until(reached)
    return list(intake.report().faults)


async def test_files_come_change_and_go(directory: Path, source: Any, taking: Any, maps: Maps) -> None:
    (directory / "a.yaml").write_text(config_map("a") + "---\n" + config_map("b"))
    (directory / "inner").mkdir()
    (directory / "inner" / "c.yml").write_text(config_map("c"))
    (directory / "notes.txt").write_text(config_map("no"))
    async with taking(source):
        await maps.become(a="v", b="v", c="v")
        (directory / "a.yaml").write_text(config_map("a", "w"))
        await maps.become(a="w", c="v")
        (directory / "inner" / "c.yml").unlink()
        await maps.become(a="w")


async def test_a_bad_document_never_drops_the_good_ones(
    directory: Path, source: Any, taking: Any, maps: Maps, until: Any
) -> None:
    file = directory / "a.yaml"
    file.write_text(config_map("a") + "---\n" + config_map("b"))
    async with taking(source) as intake:
        await maps.become(a="v", b="v")
        file.write_text(config_map("a", "w") + "---\nkind: [\n")
        await maps.become(a="w", b="v")
        found = (await faults(intake, until, 1))[0]
        assert (found.origin, found.line is not None) == ("a.yaml", True)
        file.write_text(config_map("a", "x") + "---\n" + config_map("b").replace('"v"', "[1]"))
        await maps.become(a="x", b="v")
        await until(lambda: _says(intake, "data.key"))
        file.write_bytes(b"\xff\xfe")
        await until(lambda: _says(intake, "UTF-8"))
        assert await maps.now() == {"a": "x", "b": "v"}
        assert metrics.REGISTRY.get_sample_value("galley_source_errors", {"source": "files"}) == 1
        file.write_text(config_map("a"))
        await maps.become(a="v")
        assert await faults(intake, until, 0) == []


async def _says(intake: Any, text: str) -> bool:
    return any(text in fault.message for fault in intake.report().faults)


async def test_a_rename_into_place_is_one_change(
    directory: Path, source: Any, taking: Any, maps: Maps, store: Store
) -> None:
    (directory / "a.yaml").write_text(config_map("a"))
    async with taking(source):
        await maps.become(a="v")
        before = await store.revision()
        (directory / ".a.tmp").write_text(config_map("a", "w"))
        os.replace(directory / ".a.tmp", directory / "a.yaml")
        await maps.become(a="w")
        assert await store.revision() == before + 1


async def test_a_mounted_config_map_is_followed_through_its_links(
    directory: Path, source: Any, taking: Any, maps: Maps
) -> None:
    for number, value in enumerate(("v", "w")):
        (directory / f"..{number}").mkdir()
        (directory / f"..{number}" / "a.yaml").write_text(config_map("a", value))
    (directory / "..data").symlink_to("..0")
    (directory / "a.yaml").symlink_to("..data/a.yaml")
    async with taking(source):
        await maps.become(a="v")
        (directory / "..next").symlink_to("..1")
        os.replace(directory / "..next", directory / "..data")
        await maps.become(a="w")


async def test_after_a_restart_what_is_gone_meanwhile_goes(
    directory: Path, source: Any, taking: Any, maps: Maps, store: Store
) -> None:
    (directory / "a.yaml").write_text(config_map("a"))
    (directory / "b.yaml").write_text(config_map("b"))
    async with taking(source):
        await maps.become(a="v", b="v")
    (directory / "b.yaml").unlink()
    before = await store.revision()
    async with taking(DirectorySource(directory, interval=0.02)):
        await maps.become(a="v")
    assert await store.revision() == before + 1  # what is the same is not written again


async def test_a_directory_that_is_away_deletes_nothing(
    directory: Path, source: Any, taking: Any, maps: Maps, until: Any
) -> None:
    (directory / "a.yaml").write_text(config_map("a"))
    async with taking(source) as intake:
        await maps.become(a="v")
        directory.rename(directory.with_name("moved"))
        assert "not a directory" in (await faults(intake, until, 1))[0].message
        assert await maps.now() == {"a": "v"}
        directory.with_name("moved").rename(directory)
        assert await faults(intake, until, 0) == []


async def test_an_object_waits_for_its_namespace_and_namespaces_come_first(
    directory: Path, source: Any, taking: Any, until: Any, store: Store
) -> None:
    inside = config_map("a").replace("name: a", "name: a, namespace: shop")
    (directory / "a.yaml").write_text(inside)
    async with taking(source) as intake:
        assert "shop" in (await faults(intake, until, 1))[0].message
        (directory / "z.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")

        async def reached() -> bool:
            return len((await store.list("", "configmaps", "shop")).items) == 1

        await until(reached)
        for file in ("a.yaml", "z.yaml"):
            (directory / file).unlink()

        async def gone() -> bool:
            return "shop" not in {item.key.name for item in (await store.list("", "namespaces")).items}

        await until(gone)


async def test_the_same_object_twice_is_an_error_and_the_first_wins(
    directory: Path, source: Any, taking: Any, maps: Maps, until: Any
) -> None:
    (directory / "a.yaml").write_text(config_map("a", "first"))
    (directory / "b.yaml").write_text(config_map("a", "second"))
    async with taking(source) as intake:
        await maps.become(a="first")
        assert "a.yaml:1 already" in (await faults(intake, until, 1))[0].message


async def test_a_secret_in_a_file_comes_and_goes(
    directory: Path, source: Any, taking: Any, until: Any, store: Store
) -> None:
    async def secrets(*wanted: str) -> None:
        async def reached() -> bool:
            return [item.key.name for item in (await store.list("", "secrets")).items] == list(wanted)

        await until(reached)

    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: cert}\nstringData: {a: b}\n"
    (directory / "a.yaml").write_text(text)
    async with taking(source):
        await secrets("cert")
        (directory / "a.yaml").unlink()
        await secrets()
