import importlib
import subprocess
import sys

import pytest

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration import layout


def aliased() -> list[str]:
    prefix = layout.torchreid_prefix()
    return [n for n in sys.modules if n.startswith("torchreid.") and not n.startswith(prefix)]


def test_modules_are_found_in_this_layout():
    transforms = layout.torchreid_module("data.transforms")
    assert transforms.__name__ == f"{layout.torchreid_prefix()}.data.transforms"
    assert layout.torchreid_module().models is layout.torchreid_module("models")


def test_alias_gives_the_same_module_objects_and_is_taken_back():
    real = layout.torchreid_module("data.transforms")
    spec, before = real.__spec__, aliased()
    with layout.alias():
        assert importlib.import_module("torchreid.data.transforms") is real
        assert importlib.import_module("torchreid.utils") is layout.torchreid_module("utils")
        assert real.__spec__ is spec
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("torchreid.nothing")
    assert aliased() == before
    assert real.__spec__ is spec
    assert not any(isinstance(finder, layout.AliasFinder) for finder in sys.meta_path)


def test_alias_follows_the_environment(monkeypatch):
    monkeypatch.setenv(layout.ALIAS_VARIABLE, "0")
    layout.alias_from_environment()
    assert not any(isinstance(finder, layout.AliasFinder) for finder in sys.meta_path)
    monkeypatch.setenv(layout.ALIAS_VARIABLE, "1")
    layout.alias_from_environment()
    try:
        importlib.import_module("torchreid.utils")
    finally:
        layout.uninstall_alias()


def test_missing_torchreid_is_a_config_error(monkeypatch):
    monkeypatch.setattr(layout, "_ROOT", "torchreid_that_is_not_there")
    with pytest.raises(ConfigError, match="pip install torchreid"):
        layout.torchreid_module("utils")


def test_plain_import_neither_imports_nor_changes_torchreid():
    code = (
        "import sys; import torchreid_adv; from torchreid_adv import install, adapt_engine\n"
        "assert 'torchreid' not in sys.modules, 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
