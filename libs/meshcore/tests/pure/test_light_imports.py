import gc
import sys

import pytest
from meshcore.light_imports import light_imports


def test_a_library_that_is_left_out_seems_not_to_be_installed_and_is_there_afterwards(monkeypatch, tmp_path):
    (tmp_path / "left_out.py").write_text("HERE = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with light_imports("left_out"), pytest.raises(ImportError):
        import left_out  # noqa: F401
    import left_out as again

    assert again.HERE


def test_what_is_there_already_stays():
    with light_imports("json"):
        import json

    assert sys.modules["json"] is json


def test_no_garbage_is_looked_for_meanwhile_and_what_is_made_is_not_looked_at_later():
    frozen = gc.get_freeze_count()
    with light_imports():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)
    gc.unfreeze()


def test_a_failed_import_leaves_all_as_it_was():
    with pytest.raises(ModuleNotFoundError), light_imports("never_installed"):
        import no_such_module  # noqa: F401
    assert gc.isenabled()
    assert "never_installed" not in sys.modules
    gc.unfreeze()
