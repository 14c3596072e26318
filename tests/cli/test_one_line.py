"""Short forms: models in front, flags for the usual keys, dry runs that are config files."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pages import ROOT
from scripts.tiny_model import TinyClassifier

from torchreid_adv import cli, config
from torchreid_adv.cli.command import Command, Ended, typed
from torchreid_adv.cli.flags import is_key
from torchreid_adv.config.examples import described
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.registry import COMMANDS
from torchreid_adv.standard.versions import VERSIONS

COMMANDS_OF_CONFIGS = {n: COMMANDS.get(n) for n in COMMANDS if isinstance(COMMANDS.get(n), Command)}
VALUES = {  # key -> what is typed behind its flag, and what the key is set to in full
    "data.sources": ("virtual_a virtual_b", "['virtual_a', 'virtual_b']"),
    "data.targets": ("virtual_b", "['virtual_b']"),
    "data.transforms": ("random_erase random_crop", "['random_erase', 'random_crop']"),
    "data.root": ("elsewhere", "elsewhere"),
    "data.save_dir": ("log/mine", "log/mine"),
    "use_gpu": ("cpu", "False"),
    "adv.attack.name": ("sma", "sma"),
    "adv.attack.eps": ("7", "7"),
    "adv.attack.side": ("query", "query"),
    "adv.job.shard": ("1/3", "1/3"),
    "adv.transfer.attacks": ("fgsm sma", "['fgsm', 'sma']"),
    "adv.transfer.eps": ("2 4.5", "[2.0, 4.5]"),
}
SMALL = {"data.workers": 0, "data.height": 64, "data.width": 32, "use_gpu": False}
SMALL |= {"adv.plugins": "['scripts.tiny_model']", "adv.job.chunk": 4, "adv.attack.steps": 2}
SMALL |= {"adv.virtual.height": 64, "adv.virtual.width": 32, "adv.virtual.distractors": 2}
SMALL |= {"adv.virtual.train_identities": 8, "adv.virtual.test_identities": 4}
SMALL |= {"adv.virtual.cameras_per_identity": 2, "adv.virtual.images_per_camera": 2}
CUT = {"steps": 2, "self_steps": 1, "pulls": 1, "square": 3, "noise": 2, "transfer_steps": 1}
CUT |= {"epochs": 1, "sample": 4, "bootstrap": 20, "eps": (8,), "curve": (0,)}
KEYS = [str(word) for pair in SMALL.items() for word in pair]
A, B = "tiny_classifier:a.pth", "tiny_classifier:b.pth"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    for seed, name in enumerate(("a.pth", "b.pth")):
        torch.manual_seed(seed)
        torch.save({"state_dict": TinyClassifier(8).state_dict()}, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    config.forget()
    yield tmp_path
    config.forget()


def front(command):
    """Return the models that a command has to have."""
    return ["osnet_x1_0:a.pth"] if command.models and command.models.needed else []


def plain(command, *words):
    return config.plain(command.configured([*words]))


@pytest.mark.parametrize(
    ("command", "flag"),
    [(command, flag) for command in COMMANDS_OF_CONFIGS.values() for flag in command.declared],
    ids=lambda one: one.name,
)
def test_a_flag_is_its_key(command, flag):
    typed, value = VALUES[flag.key]
    for spelled in filter(None, (flag.name, flag.short)):
        short = plain(command, *front(command), spelled, *typed.split())
        assert short == plain(command, *front(command), flag.key, value)
        assert short != plain(command, *front(command)) or flag.key == "use_gpu"


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS_OF_CONFIGS.values() if c.models], ids=lambda one: one.name
)
def test_models_are_the_key_wherever_they_stand(command):
    models = ["m=osnet_x1_0:a.pth", *([] if command.models.one else ["resnet50:b.pth"])]
    long = plain(command, "-t", "virtual_a", "--root", "x", command.models.key, repr(models))
    assert plain(command, *models, "-t", "virtual_a", "--root", "x") == long
    assert plain(command, "-t", "virtual_a", "--root", "x", *models) == long
    assert plain(command, "-t", "virtual_a", *models, "--root", "x") == long
    assert plain(command, "--root", "x", *models, "-t", "virtual_a") == long
    assert plain(command, *models, "-t", "virtual_a", "--root", "x", "data.workers", "4") == long


def test_the_short_attack_is_the_long_one_in_full():
    short = plain(COMMANDS.get("attack"), A, "-t", "virtual_a", "--root", "x", "--out", "y")
    words = "--config-file configs/attack/ifgsm.yaml -t virtual_a --root x data.save_dir y"
    long = plain(COMMANDS.get("attack-gallery"), *words.split())
    assert long["model"].pop("pretrained") is False  # which nothing here reads
    assert long["model"].pop("name") == "osnet_x1_0"
    short["model"].pop("pretrained")
    short["model"].pop("name")
    assert short["adv"]["attack"].pop("models") == [A]
    assert long["adv"]["attack"].pop("models") == []
    assert short == long


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("osnet_x1_0:model.pth.tar-60", False), ("model.pth.tar-60", False), ("a.pth", False),
        ("train=osnet_x1_0:w.pth", False), ("m=timm@256x128@resize=cv2:NAME:w.pth", False),
        ("python@64x32:nets.mine:build(depth=50)", False), ("hf:ORG/NAME@HASH/w.pth", False),
        ("model.load_weights", True), ("adv.attack.eps=8", True), ("use_gpu=False", True),
        ("adv.attack.epss", True), ("model.nmae", True), ("attack.eps", True),
        ("adv.zoo={a: {}}", True), ("adv.zoo", True), ("adv.attack.options", True),
        ("train={lr: 1}", True), ("video", False),
    ],
)  # fmt: skip
def test_a_model_is_told_from_a_key(word, key):
    assert is_key(default_config(use_gpu=False), word) is key


def timeless(results):
    """Return the results of a data set without what a clock decides."""
    return {n: v for n, v in results.items() if n not in ("images_per_second", "seconds")}


def test_attack_gives_the_numbers_of_the_long_form():
    short = [A, "-t", "virtual_a", "--device", "cpu", "--out", "short", *KEYS]
    assert cli.main(["attack", *short, "adv.report.page", "False"]) == 0
    config.forget()
    long = ["--config-file", str(ROOT / "configs/attack/ifgsm.yaml"), "-t", "virtual_a", *KEYS]
    long += ["model.name", "tiny_classifier", "model.load_weights", "a.pth", "data.save_dir"]
    assert cli.main(["attack-gallery", *long, "long", "adv.report.page", "False"]) == 0
    found = [json.loads(Path(out, "results.json").read_text()) for out in ("short", "long")]
    assert timeless(found[0]["targets"]["virtual_a"]) == timeless(found[1]["targets"]["virtual_a"])
    assert found[0]["model"] == found[1]["model"]
    assert found[0]["targets"]["virtual_a"]["images"]["attacked"] > 0


def test_standard_gives_the_numbers_of_the_long_form(monkeypatch):
    monkeypatch.setitem(VERSIONS, "lite", replace(VERSIONS["lite"], **CUT))
    keys = [*KEYS, "adv.standard.version", "lite", "adv.report.page", "False"]
    assert cli.main(["standard", f"m={A}", "-t", "virtual_a", "--out", "short", *keys]) == 0
    config.forget()
    long = ["-t", "virtual_a", *keys, "adv.standard.models", f"['m={A}']", "data.save_dir", "long"]
    long += ["test.normalize_feature", "True"]
    assert cli.main(["standard", *long]) == 0
    found = [
        json.loads(Path(out, "virtual_a/m/standard.json").read_text()) for out in ("short", "long")
    ]
    assert found[0]["tracks"] == found[1]["tracks"]
    assert found[0]["tracks"]["Q"]["8"]["clean"]["mAP"] > 0


@pytest.mark.parametrize("name", [name for name, _ in described()])
def test_what_a_dry_run_prints_is_a_config_file(name, tmp_path):
    cfg = default_config(use_gpu=False)
    cfg.merge_from_file(str(ROOT / name))
    for default in (default_config(use_gpu=False), None):
        file = tmp_path / "printed.yaml"
        file.write_text(config.as_file(cfg, default) + "\n", encoding="utf-8")
        again = default_config(use_gpu=False)
        again.merge_from_file(str(file))
        assert config.plain(again) == config.plain(cfg)
    assert len(config.as_file(cfg, default_config(use_gpu=False)).splitlines()) < 120


def test_a_dry_run_prints_what_differs_and_all_prints_every_key(capsys):
    words = ["attack", A, "-t", "virtual_a", "--eps", "6", "--out", 'log/"a: b" #1']
    assert cli.main([*words, "--dry-run", *KEYS[:10]]) == 0
    short = capsys.readouterr().out
    assert "    eps: 6.0  # gray levels = 0.023529 of [0, 1]\n" in short
    assert "side" not in short
    assert cli.main([*words, "--dry-run", "--all", *KEYS[:10]]) == 0
    whole = capsys.readouterr().out
    for printed in (short, whole):
        Path("printed.yaml").write_text(printed, encoding="utf-8")
        cfg = COMMANDS.get("attack-gallery").configured(["--config-file", "printed.yaml"])
        assert config.plain(cfg) == plain(COMMANDS.get("attack"), *words[1:], *KEYS[:10])
        assert cfg.data.save_dir == 'log/"a: b" #1'
    keys = [key.rpartition(".")[2] for key, _ in config.leaves(default_config(use_gpu=False))]
    assert all(re.search(rf"^ *{key}: ", whole, flags=re.MULTILINE) for key in keys)


def test_a_config_of_defaults_is_an_empty_file(capsys):
    assert cli.main(["train", "--dry-run"]) == 0
    assert capsys.readouterr().out == "{}  # every key is at its default\n"


WRONG = [
    ("attack", "'attack' needs a model, for example: torchreid-adv attack osnet_x1_0:"),
    ("transfer --eps 4", "'transfer' needs models, for example: torchreid-adv transfer a=osnet_x"),
    ("attack -t virtual_a", "'attack' needs a model"),
    (f"attack {A} {B}", "'attack' takes one model, got 'tiny_classifier:a.pth' and"),
    ("attack bb.pth", "there is no file 'bb.pth'; did you mean 'b.pth'?"),
    (
        "attack tiny_classifier:aa.pth",
        "names the file 'aa.pth', which does not exist; did you mean",
    ),
    ("attack tiny_clasifier:a.pth", "unknown model 'tiny_clasifier'; did you mean 'tiny_classi"),
    (f"attack {A} KEYS model.load_weights b.pth", "the model is given twice: 'tiny_classifier:a"),
    (f"attack {A} --eps 8 KEYS adv.attack.eps 5", "adv.attack.eps is given twice: by '--eps 8' a"),
    (f"attack {A} --eps 8/255", "write 8, not 8/255"),
    (f"attack {A} --eps 0.03", "is in gray levels of 255; for 0.03 of [0, 1] write 7.65"),
    (f"attack {A} --epss 8", "there is no flag --epss; did you mean --eps?"),
    (f"attack {A} --steps 8", "there is no flag --steps; after all flags write the config key"),
    (f"attack {A} --device tpu", "--device takes cpu or cuda, got 'tpu'"),
    (f"attack {A} --side both", "adv.attack.side' must be one of 'gallery', 'query', got 'both'"),
    (f"attack {A} --attack ifgsn", "unknown attack 'ifgsn'; did you mean 'ifgsm'?"),
    (f"attack {A} KEYS attack.eps 8", "unknown config key 'attack'; did you mean 'adv.attack.eps'"),
    (f"attack {A} KEYS adv.attack.epss 8", "did you mean 'adv.attack.eps'?"),
    (f"attack {A} --all", "--all belongs to --dry-run"),
    (f"standard {A} --eps 8", "'standard' has no flag --eps"),
    (f"standard KEYS model.name x {A}", "config options come in pairs"),
    ("train osnet_x1_0 -s virtual_a", "and 'osnet_x1_0' is neither; a model is named by model.n"),
    ("train modl.name x", "unknown config key 'modl'; did you mean 'model'?"),
    (f"attack-gallery {A}", "'attack-gallery' takes flags, then pairs KEY VALUE, and 'tiny_cl"),
    (f"sweep {A} --eps 2 4/255", "takes a list of numbers, in gray levels: write 8, not 8/255"),
    ("train --config-file configs/train/bai_b11.yaml", "did you mean 'configs/train/bai_b1.yaml'"),
    ("train --config-file confgs/train/bai_b1.yaml", "did you mean 'configs/train/bai_b1.yaml'?"),
    ("train --config-file mine.yaml", "torchreid-adv list configs shows the example configs"),
    (f"attack {A} -t peple.csv", "people.csv'?"),
    (f"attack {A} -t folder:croops", "crops'?"),
    (f"attack {A} -t market1501 --root rid-data", "; did you mean 'reid-data'?"),
]


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_a_mistake_is_one_sentence(line, said, capsys):
    for folder in ("crops", "reid-data"):
        Path(folder).mkdir()
    Path("people.csv").write_text("path,pid,camid,split\n")
    words = [w for part in line.split() for w in (KEYS[:10] if part == "KEYS" else [part])]
    if line.startswith("attack t") and "KEYS" not in line and "--" not in words[-1]:
        words += KEYS[:10]
    try:
        code = cli.main(words)
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert code in (2, 3)
    assert said in err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_training_that_cannot_begin_is_answered_by_one_sentence(capsys):
    assert cli.main(["train", "-s", "market1501", "-t", "market1501", "--root", "there"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: the data set 'market1501' was not found")
    assert err.count("\n") == 1


def test_the_command_that_was_typed_is_known(capsys):
    command = replace(COMMANDS.get("zoo"), check=None, work=lambda cfg, team: Ended(typed()))
    assert command(["--out", "a b"]) == 0
    printed = capsys.readouterr().out
    assert shlex.split(printed.splitlines()[-1]) == ["torchreid-adv", "zoo", "--out", "a b"]
    assert typed() == ""
