"""Pickled networks and settings give their tensors, and never run anything."""

import argparse
import collections
import json
import os
import pathlib
import pickle
import sys
import types
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.inert import read_inert
from torchreid_adv.integration.matching import weights_in


class Payload:
    ran = False

    def __reduce__(self):
        return setattr, (Payload, "ran", True)


@pytest.fixture
def foreign(monkeypatch):
    """A network of a module that is not there when its file is read."""
    module = types.ModuleType("their_project")
    code = (
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)\n"
        "        self.parts = nn.ModuleList([nn.Linear(4, 2)])\n"
        "        self.register_buffer('scale', self.bn.weight.detach() * 2)\n"
        "        self.register_buffer('hidden', self.bn.weight.detach(), persistent=False)\n"
    )
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "their_project", module)
    torch.manual_seed(0)
    network = module.Net()
    network.__class__.__module__ = "their_project"
    return network


def test_a_whole_network_gives_its_state_dict(foreign, tmp_path, monkeypatch):
    torch.save(foreign, tmp_path / "whole.pth")
    expected = foreign.state_dict()
    monkeypatch.delitem(sys.modules, "their_project")
    with pytest.raises(ConfigError, match="as well as weights"):
        read_checkpoint(tmp_path / "whole.pth")
    found = weights_in(read_checkpoint(tmp_path / "whole.pth", inert=True), "whole.pth")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


SETTINGS = {
    "a namespace": lambda: argparse.Namespace(lr=1, name="x"),
    "a path": lambda: pathlib.PurePosixPath("a/b"),
    "a defaultdict": lambda: collections.defaultdict(list, a=[1]),
    "a payload": Payload,
    "an optimizer": lambda: torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_other_classes_are_left_out(name, tmp_path):
    state = nn.Linear(3, 2).state_dict()
    torch.save({"state_dict": state, "opt": SETTINGS[name](), "epoch": 3}, tmp_path / "x.pth")
    found = weights_in(read_checkpoint(tmp_path / "x.pth", inert=True), "x.pth")
    assert {n.rpartition("/")[2] for n in found} >= {"weight", "bias"}
    assert torch.equal(found["state_dict/weight"], state["weight"])
    assert not Payload.ran


def archive(path, pickled):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled)
        file.writestr("x/version", "3")


@pytest.mark.parametrize(
    "pickled",
    [
        b"cos\nsystem\n(S'touch ran'\ntR.",
        b'cbuiltins\nexec\n(S\'open("ran", "w")\'\ntR.',
        b'c__builtin__\neval\n(S\'open("ran", "w")\'\ntR.',
        b"\x80\x04\x8c\x08builtins\x8c\x04open\x93\x8c\x03ran\x8c\x01w\x86R.",
        b"\x80\x04\x8c\x0bcollections\x8c\x1aOrderedDict.__reduce_ex__\x93)R.",
        b"ctorch\nload\n(S'ran'\ntR.",
        b"(S'open'\nios\nsystem\n.",
        b"cnumpy\nload\n(S'ran'\ntR.",
    ],
)
def test_nothing_that_a_file_names_is_called(pickled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "x.pth", pickled)
    with pytest.raises(ConfigError, match=r"holds no weights|cannot be read"):
        read_inert(tmp_path / "x.pth")
    assert sorted(os.listdir(tmp_path)) == ["x.pth"]


def test_damaged_pickles_are_refused(foreign, tmp_path):
    torch.save(foreign, tmp_path / "whole.pth")
    with zipfile.ZipFile(tmp_path / "whole.pth") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    pickled = next(name for name in parts if name.endswith("data.pkl"))
    draws = torch.Generator().manual_seed(0)
    for _ in range(200):
        content = bytearray(parts[pickled])
        place = int(torch.randint(len(content), (1,), generator=draws))
        content[place] = int(torch.randint(256, (1,), generator=draws))
        with zipfile.ZipFile(tmp_path / "x.pth", "w") as file:
            for name, part in parts.items():
                file.writestr(name, bytes(content) if name == pickled else part)
        try:
            found = read_inert(tmp_path / "x.pth")
        except ConfigError:
            continue
        assert all(isinstance(name, str) for name in found)


def test_a_storage_that_is_too_short_is_refused(tmp_path):
    torch.save(Payload(), tmp_path / "empty.pth")
    whole = {"w": torch.arange(6.0), "o": argparse.Namespace()}
    torch.save(whole, tmp_path / "whole.pth")
    with zipfile.ZipFile(tmp_path / "whole.pth") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as file:
        for name, part in parts.items():
            file.writestr(name, part[:8] if "/data/" in name else part)
    with pytest.raises(ConfigError, match="shorter than it says"):
        read_inert(tmp_path / "x.pth")
    assert torch.equal(read_inert(tmp_path / "whole.pth")["w"], whole["w"])


def shards(folder, **changed):
    state = {"conv.weight": torch.rand(2, 3), "fc.bias": torch.rand(4)}
    save_file({"conv.weight": state["conv.weight"]}, folder / "model-1.safetensors")
    save_file({"fc.bias": state["fc.bias"]}, folder / "model-2.safetensors")
    places = {"conv.weight": "model-1.safetensors", "fc.bias": "model-2.safetensors", **changed}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return state


@pytest.mark.parametrize("given", ["", "model.safetensors.index.json"])
def test_shards_are_read_by_their_index(given, tmp_path):
    state = shards(tmp_path)
    found = read_checkpoint(tmp_path / given)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"fc.bias": "../model-2.safetensors"}, "not in the same folder"),
        ({"fc.bias": "/etc/passwd"}, "not in the same folder"),
        ({"fc.bias": "model-1.safetensors"}, "its file has none"),
        ({"fc.bias": "model-3.safetensors"}, "there is no checkpoint file"),
        ({"fc.bias": ""}, "not in the same folder"),
    ],
)
def test_an_index_of_other_files_is_refused(changed, words, tmp_path):
    shards(tmp_path, **changed)
    with pytest.raises(ConfigError, match=words):
        read_checkpoint(tmp_path)


def test_an_index_that_is_none_is_refused(tmp_path):
    for text in ("", "[]", '{"weight_map": 3}', "{}"):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(ConfigError, match="not an index of weights"):
            read_checkpoint(tmp_path)


def test_the_oldest_protocol_is_read_as_the_newest(tmp_path):
    for protocol in (2, 4):
        content = {"w": torch.ones(2), "n": argparse.Namespace()}
        torch.save(content, tmp_path / "x", pickle_protocol=protocol)
        assert torch.equal(read_inert(tmp_path / "x")["w"], torch.ones(2))
    assert pickle.HIGHEST_PROTOCOL >= 4
