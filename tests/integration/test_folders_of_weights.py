"""A folder where a file of weights belongs: every door says so, and names the files inside."""

import pytest

import torchreid_adv as adv
from torchreid_adv.attacks.learned.generator import load_generator
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.weight_files import weights_fault
from torchreid_adv.models.foreign import ENDINGS, FILES
from torchreid_adv.models.specs import check_entries, parse_models
from torchreid_adv.runs.torchreid_checks import check
from torchreid_adv.transforms.color_table import read_universal


def configured(key):
    def read(folder):
        cfg = default_config(use_gpu=False)
        cfg.merge_from_list([key, folder])
        check(cfg)

    return read


def listed(folder):
    check_entries([folder])
    parse_models([folder])


DOORS = {
    "model.load_weights": configured("model.load_weights"),
    "model.resume": configured("model.resume"),
    "a checkpoint": read_checkpoint,
    "a model": adv.load_model,
    "a list of models": listed,
    "a model's source": lambda folder: adv.load_model(f"resnet50:{folder}"),
    "a model's weights": lambda folder: adv.load_model("resnet50", folder),
    **{kind: lambda folder, kind=kind: adv.load_model(f"{kind}@64x32:{folder}") for kind in FILES},
    "a generator": load_generator,
    "a universal perturbation": read_universal,
}
NAMES = {"a generator": "g.safetensors", "a universal perturbation": "g.safetensors"}
NAMES |= {kind: f"net{endings[0]}" for kind, endings in ENDINGS.items()}


@pytest.mark.parametrize("door", DOORS)
def test_a_folder_is_called_a_folder_and_its_files_are_named(door, tmp_path, monkeypatch):
    name = NAMES.get(door, "model.pth.tar-60")
    for folder in (tmp_path / "log/run", tmp_path / "empty"):
        (folder / "model").mkdir(parents=True)
        (folder / "notes.txt").write_text("lr 0.1")
    (tmp_path / "log/run/model" / name).write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    for place in ("log/run", str(tmp_path / "log/run")):
        with pytest.raises(ConfigError, match=f"is a folder; .*such as 'model/{name}'"):
            DOORS[door](place)
    with pytest.raises(ConfigError, match="is a folder; give the file inside") as refused:
        DOORS[door]("empty")
    assert "notes" not in str(refused.value)


def test_a_folder_with_an_index_and_a_file_are_weights(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    assert weights_fault(tmp_path) == ""
    assert weights_fault(tmp_path / "model.safetensors.index.json") == ""
    assert "no such file; did you mean" in weights_fault(tmp_path / "model.safetensor.index.json")
