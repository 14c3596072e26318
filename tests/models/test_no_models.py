"""What is no model: one sentence and exit code 2 from every command that takes models in front."""

import re

import pytest
import torch
from scripts.tiny_model import TinyClassifier

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.cli.command import Command
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.registry import COMMANDS

TAKING = [n for n in COMMANDS if isinstance(COMMANDS.get(n), Command) and COMMANDS.get(n).models]
KEYS = ("adv.plugins", "['scripts.tiny_model']", "data.height", "64", "data.width", "32")
WRONG = {  # what is typed -> what is said
    "": "needs (a model|models), for example",
    "text.pth": "it is a text that begins with 'hello'",
    "tiny_classifier:empty.pth": "it is empty",
    "tiny_classifier:cut.pth": "damaged or incomplete",
    "tiny_classifier:head.safetensors": "incomplete safetensors file: its header has 9[0-9] bytes",
    "tiny_classifier:part.safetensors": "cut off|incomplete",
    "picture.pth": "it is a JPEG image",
    "folder": "'folder' is a folder; give the file inside, or write its format, as in hf:folder",
    "tiny_classifier:folder": "'folder' is a folder; give the file inside",
    "osnet_x9:good.pth": "unknown model 'osnet_x9'; did you mean",
    "tiny_classifier": "'tiny_classifier' names no model with weights",
    "tiny_classifier:absent.pth": "names the file 'absent.pth', which does not exist",
    "absent.pth": "there is no file 'absent.pth'",
    "gone:good.pth": "the format 'gone' needs the package 'gone_with_the_wind'",
    "osnet_x0_25:good.pth": "Were they trained with another model.name",
}


def weights():
    torch.manual_seed(0)
    return TinyClassifier(8).state_dict()


@pytest.fixture
def place(tmp_path, monkeypatch):
    from safetensors.torch import save

    monkeypatch.chdir(tmp_path)
    config.forget()
    torch.save({"state_dict": weights()}, "good.pth")
    good, tensors = (tmp_path / "good.pth").read_bytes(), save({"bias": torch.rand(64)})
    files = {"cut.pth": good[: len(good) // 2], "empty.pth": b"", "text.pth": b"hello\n"}
    files |= {"head.safetensors": b"\x5a" + bytes(7) + b'{"bias":', "picture.pth": b"\xff\xd8\xff"}
    files["part.safetensors"] = tensors[:-100]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.fixture
def gone(monkeypatch):
    """A format whose package is not installed."""
    from torchreid_adv.models.loaders import needed
    from torchreid_adv.registry import LOADERS

    LOADERS.register("gone", weights=True)(
        lambda request: needed("gone_with_the_wind", of="gone", pip="wind")
    )
    yield
    LOADERS.remove("gone")


def pairs():
    """Every entry with one command and two entries with each command are quick tests."""
    for name in TAKING:
        for entry in WRONG:
            quick = name == "attack" or entry in ("", "absent.pth")
            yield pytest.param(name, entry, marks=[] if quick else pytest.mark.slow)


@pytest.mark.parametrize(("name", "entry"), pairs())
def test_what_is_no_model_is_one_sentence(name, entry, place, gone, capsys):
    if not entry and not COMMANDS.get(name).models.needed:
        pytest.skip("a run without a model is another run")
    others = ["other=tiny_classifier:good.pth"] * (
        not COMMANDS.get(name).models.one and bool(entry)
    )
    models = [entry, *others] if entry else []
    assert cli.main([name, *models, "-t", "virtual_a", "--device", "cpu", *KEYS]) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert sentence.startswith("error: ")
    assert re.search(WRONG[entry], sentence), sentence


def in_dtype(state, dtype):
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}


def forms():
    """Return the same weights as they are saved elsewhere: name -> (content of the file, dtype)."""
    state = weights()
    trained = TinyClassifier(8)
    optimizer = torch.optim.Adam(trained.parameters())
    sum(parameter.sum() for parameter in trained.parameters()).backward()
    optimizer.step()
    rows = {k: torch.cat([v, v]) if "classifier" in k else v for k, v in state.items()}
    return {
        "other number of identities": (rows, None),
        "DataParallel": ({f"module.{k}": v for k, v in state.items()}, None),
        "optimizer": ({"state_dict": state, "optimizer": optimizer.state_dict(), "epoch": 3}, None),
        "half": (in_dtype(state, torch.float16), torch.float16),
        "bfloat16": (in_dtype(state, torch.bfloat16), torch.bfloat16),
    }


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("form", forms())
def test_the_same_weights_in_another_form_give_the_same_features(form, suffix, place):
    from safetensors.torch import save_file

    content, dtype = forms()[form]
    if suffix == "pth":
        torch.save(content, "other.pth")
    elif "state_dict" in content:
        pytest.skip("safetensors holds tensors alone")
    else:
        save_file(content, "other.safetensors")
    assert read_checkpoint(f"other.{suffix}")
    pixels = torch.rand(2, 3, 64, 32)
    expected = TinyClassifier(8).eval()
    state = weights() if dtype is None else in_dtype(in_dtype(weights(), dtype), torch.float32)
    expected.load_state_dict(state)
    model = adv.load_model(f"tiny_classifier:other.{suffix}", size=(64, 32), device="cpu")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.mean, model.std))
    with torch.no_grad():
        assert torch.equal(model(pixels), expected((pixels - mean) / std))
