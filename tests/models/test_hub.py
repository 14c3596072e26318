"""Files of the Hugging Face hub: from its cache, by the commit, or a sentence."""

import sys
import types

import pytest
import torch

import torchreid_adv as adv
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.hub import local_file
from torchreid_adv.models.loaders import built
from torchreid_adv.models.loading import build_network

HASH = "a" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one repository in its cache; what was asked for is written down."""
    errors = types.ModuleType("huggingface_hub.errors")
    errors.LocalEntryNotFoundError = type("LocalEntryNotFoundError", (Exception,), {})
    module = types.ModuleType("huggingface_hub")
    module.errors, module.asked = errors, []
    place = tmp_path / "models--org--name" / "snapshots" / HASH

    def download(repository, file, revision=None):
        module.asked.append((repository, file, revision))
        if not (place / file).is_file():
            raise errors.LocalEntryNotFoundError("offline")
        return str(place / file)

    module.hf_hub_download, module.place = download, place
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    (place / "weights").mkdir(parents=True)
    return module


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("hf:org/name/w.pth", ("org/name", "w.pth", None)),
        ("hf:org/name@main/w.pth", ("org/name", "w.pth", "main")),
        (f"hf:org/name@{HASH}/weights/w.pth", ("org/name", "weights/w.pth", HASH)),
    ],
)
def test_files_are_asked_for_by_their_revision(source, asked, hub, caplog):
    (hub.place / asked[1]).write_bytes(b"x")
    caplog.set_level("INFO", logger="torchreid_adv")
    assert local_file(source) == hub.place / asked[1]
    assert hub.asked == [asked]
    assert f"commit {HASH}" in caplog.text


def test_a_file_that_is_not_there_is_a_sentence(hub):
    with pytest.raises(ConfigError, match="not in the cache of huggingface_hub"):
        local_file("hf:org/name/gone.pth")
    for wrong in ("hf:name/w.pth", "hf:org", "hf:org//w.pth"):
        with pytest.raises(ConfigError, match="is written hf:ORG/NAME/FILE"):
            local_file(wrong)


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="pip install huggingface_hub, or give a local file"):
        local_file("hf:org/name/w.pth")


def test_a_checkpoint_of_the_hub_is_one(hub):
    torch.manual_seed(0)
    network = build_network("osnet_x0_25")
    torch.save(network.state_dict(), hub.place / "w.pth")
    model = adv.load_model("osnet_x0_25@64x32:hf:org/name/w.pth", device="cpu")
    alone = adv.load_model("hf@64x32:org/name/w.pth", device="cpu")
    images = torch.rand(1, 3, 64, 32)
    with torch.no_grad():
        assert torch.allclose(model(images), network(model.normalize(images)), atol=1e-5)
        assert torch.equal(alone(images), model(images))


def test_other_files_of_a_builder_that_are_not_cached_are_a_sentence(hub):
    with pytest.raises(ConfigError, match="the files of x are not in the cache"), built("x"):
        raise hub.errors.LocalEntryNotFoundError("offline")
