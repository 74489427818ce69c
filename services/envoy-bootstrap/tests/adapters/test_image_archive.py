"""Archives in images: bounded, and nothing of them but the one file counts."""

import gzip
import io
import tarfile

import pytest
from envoy_bootstrap.adapters.image_archive import plugin_in
from meshcore.errors import MeshError
from meshcore.testing.image_registry import archive


def test_no_archive_unpacks_without_a_bound() -> None:
    packed = archive({"large": b"\0" * (1 << 20), "plugin.wasm": b"\0asm"})
    assert plugin_in(packed, 1 << 10) == b"\0asm"
    assert plugin_in(gzip.decompress(packed), 1 << 10) == b"\0asm", "without gzip, too"
    with pytest.raises(MeshError, match="unpacks to more bytes"):
        plugin_in(packed, 1 << 10, unpacked=1 << 16)
    with pytest.raises(MeshError, match="larger than 3 bytes"):
        plugin_in(packed, 3)


def test_only_a_file_at_the_archives_root_is_the_module() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo("plugin.wasm")
            member.type, member.linkname = kind, "/etc/hostname"
            tar.addfile(member)
    assert plugin_in(made.getvalue(), 1 << 10) is None
    for name in ("../plugin.wasm", "/plugin.wasm", "a/plugin.wasm", "a/../plugin.wasm"):
        assert plugin_in(archive({name: b"\0asm"}), 1 << 10) is None
