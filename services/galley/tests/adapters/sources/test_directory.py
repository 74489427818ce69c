"""A watched directory: good documents are config, bad ones are errors, files that go take their objects along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from galley.adapters.sources import DirectorySource
from galley.adapters.store import Store
from galley.core.admission import admit
from galley.core.source import read_documents
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


def bug(*_: object, **__: object) -> None:
    raise TypeError("quotes what it met: password")


async def test_a_failure_that_nobody_foresaw_concerns_one_object(
    directory: Path, source: Any, taking: Any, maps: Maps, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def admit_but_b(document: Any, *rest: Any) -> Any:
        return bug() if document["metadata"]["name"] == "b" else admit(document, *rest)

    file = directory / "a.yaml"
    file.write_text("---\n".join(config_map(name) for name in "abc"))
    async with taking(source) as intake:
        await maps.become(a="v", b="v", c="v")
        monkeypatch.setattr("galley.adapters.sources.intake.admit", admit_but_b)
        file.write_text("---\n".join(config_map(name, "w") for name in "abc"))
        await maps.become(a="w", b="v", c="w")
        (fault,) = await faults(intake, until, 1)
        assert (fault.origin, fault.line) == ("a.yaml", 6)
        assert fault.message == "configmaps default/b: Galley could not take it: TypeError"
        assert fault.where[-1].endswith(" bug")
        assert metrics.REGISTRY.get_sample_value("galley_source_errors", {"source": "files"}) == 1
        monkeypatch.undo()
        await maps.become(a="w", b="w", c="w")
        assert await faults(intake, until, 0) == []


async def test_a_failure_over_one_file_concerns_no_other(
    directory: Path, source: Any, taking: Any, maps: Maps, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_but_b(text: str, origin: str) -> Any:
        return bug() if origin == "b.yaml" else read_documents(text, origin)

    for name in "ab":
        (directory / f"{name}.yaml").write_text(config_map(name))
    async with taking(source) as intake:
        await maps.become(a="v", b="v")
        monkeypatch.setattr("galley.adapters.sources.directory.read_documents", read_but_b)
        for name in "ab":
            (directory / f"{name}.yaml").write_text(config_map(name, "w"))
        await maps.become(a="w", b="v")
        (fault,) = await faults(intake, until, 1)
        assert (fault.origin, fault.message) == ("b.yaml", "Galley could not take it: TypeError")


async def test_what_is_stored_and_cannot_be_read_is_told_and_stays(
    directory: Path, source: Any, taking: Any, maps: Maps, until: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "a.yaml").write_text(config_map("a") + "---\n" + config_map("b"))
    reveal = store.reveal

    def reveal_but_b(stored: Any) -> Any:
        return bug() if stored.key.name == "b" else reveal(stored)

    async with taking(source) as intake:
        await maps.become(a="v", b="v")
        monkeypatch.setattr(store, "reveal", reveal_but_b)
        (directory / "a.yaml").write_text(config_map("c"))
        await maps.become(b="v", c="v")
        (fault,) = await faults(intake, until, 1)
        assert fault.message == "stored configmaps default/b: Galley could not take it: TypeError"
        monkeypatch.undo()
        await maps.become(c="v")


async def test_a_refused_object_is_told_with_the_line_of_its_field(
    directory: Path, source: Any, taking: Any, until: Any
) -> None:
    wrong = config_map("b").replace("\ndata: {", "\ndata:\n  x: y\n  wrong: []\n#")
    (directory / "a.yaml").write_text(config_map("a") + "---\n" + wrong)
    async with taking(source) as intake:
        (fault,) = await faults(intake, until, 1)
        assert (fault.origin, fault.line) == ("a.yaml", 11)
        assert "data.wrong" in fault.message


async def test_what_is_no_file_concerns_nothing_else(
    directory: Path, source: Any, taking: Any, maps: Maps, until: Any
) -> None:
    (directory / "a.yaml").write_text(config_map("a"))
    (directory / "inner").mkdir()
    (directory / "inner" / "b.yaml").write_text(config_map("b"))
    (directory / "inner" / "around").symlink_to(directory)
    (directory / "inner" / "again").symlink_to(directory / "inner")
    (directory / "nowhere.yaml").symlink_to("absent.yaml")
    (directory / "circle.yaml").symlink_to("circle.yaml")
    (directory / "circle").symlink_to("circle")
    os.mkfifo(directory / "pipe.yaml")
    (directory / "folder.yaml").mkdir()
    async with taking(source) as intake:
        await maps.become(a="v", b="v")
        found = {fault.origin: fault.message for fault in await faults(intake, until, 4)}
        assert found.keys() == {"nowhere.yaml", "circle.yaml", "circle/", "pipe.yaml"}
        assert found["pipe.yaml"] == "cannot be read: not a file"
        assert "No such file" in found["nowhere.yaml"]


async def test_a_file_that_becomes_unreadable_keeps_its_objects(
    directory: Path, source: Any, taking: Any, maps: Maps, until: Any
) -> None:
    (directory / "inner").mkdir()
    for name in ("a.yaml", "inner/b.yaml"):
        (directory / name).write_text(config_map(name[-6]))
    async with taking(source) as intake:
        await maps.become(a="v", b="v")
        (directory / "a.yaml").unlink()
        (directory / "a.yaml").symlink_to("a.yaml")
        (directory / "inner").rename(directory / ".away")
        (directory / "inner").symlink_to("inner")
        await faults(intake, until, 2)
        assert await maps.now() == {"a": "v", "b": "v"}
        (directory / "inner").unlink()
        await maps.become(a="v")


async def test_the_name_of_a_file_may_be_any_bytes(
    directory: Path, source: Any, taking: Any, maps: Maps, store: Store
) -> None:
    (directory / os.fsdecode(b"\xff.yaml")).write_text(config_map("a"))
    async with taking(source):
        await maps.become(a="v")
    (stored,) = (await store.list("", "configmaps", "default")).items
    assert stored.object["metadata"]["annotations"] == {"meshcore.io/source": r"files:\xff.yaml"}
