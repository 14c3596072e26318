"""Offline adversarial training: attacked once with a frozen network, stored, merged."""

import json

import pytest
import standins
import torch
from markets import write_market

from torchreid_adv.attacks.learned.generator import GeneratedNoise, save_generator
from torchreid_adv.cli.attack import ATTACK_TRAIN
from torchreid_adv.config import torchreid_keys
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.data.images import read_pixels
from torchreid_adv.engines.train import train
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.runs.training_set import RULE, share


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(standins.SCRIPTS))
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    root = write_market(tmp_path / "data", identities=4, cameras=2, images=2, distractors=1)
    folder = root / "market1501" / "Market-1501-v15.09.15" / "bounding_box_train"
    for path in sorted(folder.glob("0004_*"))[1:]:
        path.unlink()  # an image that is alone with its identity
    settings = {
        "data.root": str(root),
        "model.name": "tiny_net",
        "adv.plugins": "['tiny_plugin']",
        "data.height": 64,
        "data.width": 32,
        "data.workers": 0,
        "data.save_dir": str(tmp_path / "clean"),
        "train.batch_size": 4,
        "train.max_epoch": 1,
        "test.normalize_feature": True,
        "adv.training.evaluate": False,
        "use_gpu": False,
    }
    trained(settings)
    return settings | {
        "adv.engine": "adversarial_training",
        "adv.training.mode": "offline",
        "adv.training.weights": str(tmp_path / "clean" / "model" / "model.pth.tar-1"),
        "data.save_dir": str(tmp_path / "log"),
    }


def trained(settings, **changed):
    cfg = torchreid_keys.default_config()
    more = {key.replace("__", "."): value for key, value in changed.items()}
    cfg.merge_from_list([word for pair in {**settings, **more}.items() for word in pair])
    return train(cfg)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def stored(tmp_path, out="log"):
    return tmp_path / out / "adversarial_train" / "market1501" / "adversarial"


def test_the_training_set_is_attacked_stored_and_merged(settings, tmp_path, capsys):
    engine = trained(settings)
    manifest = read_manifest(stored(tmp_path))
    assert len(manifest.entries) == 13
    assert {entry.side for entry in manifest.entries} == {"train"}
    assert all(entry.attacked and entry.changed for entry in manifest.entries)  # the lonely, too
    assert all(1 <= entry.linf <= 5 for entry in manifest.entries)
    rows = engine.train_loader.dataset.train
    assert len(engine.train_loader.dataset) == len(rows) == 26
    labels = {row[0].rsplit("/", 1)[1].split(".")[0]: row[1:] for row in rows[:13]}
    for path, *label in rows[13:]:
        name = path.rsplit("/", 1)[1].split(".")[0]
        assert path.startswith(str(stored(tmp_path)))
        assert labels[name] == tuple(label)
    assert "Training on 13 images and 13 adversarial ones" in capsys.readouterr().out


def test_what_is_stored_is_not_computed_again(settings, tmp_path, monkeypatch):
    words = [str(word) for pair in settings.items() for word in pair]
    assert ATTACK_TRAIN(words) == 0
    before = {path: path.stat().st_mtime_ns for path in stored(tmp_path).rglob("*.png")}
    assert len(before) == 13

    def forbidden(*arguments, **keywords):
        raise AssertionError("computed again")

    monkeypatch.setattr("torchreid_adv.attacks.loop.gradient_attack.GradientAttack._run", forbidden)
    trained(settings)
    assert before == {path: path.stat().st_mtime_ns for path in stored(tmp_path).rglob("*.png")}


def test_training_is_the_same_whether_the_set_was_there_or_not(settings, tmp_path):
    first = trained(settings).model.state_dict()
    again = trained(settings).model.state_dict()
    assert same(first, again)


def test_the_images_are_those_of_the_attack_on_the_clean_network(settings, tmp_path):
    from torchreid_adv.attacks import References, build_attack
    from torchreid_adv.core.pixels import quantize, to_uint8
    from torchreid_adv.data.datasets import load_dataset
    from torchreid_adv.data.loading import make_batch
    from torchreid_adv.models import extract, load_model

    trained(settings)
    data = load_dataset("market1501", settings["data.root"])
    model = load_model("tiny_net", settings["adv.training.weights"], size=(64, 32))
    records = data.train[:3]
    batch = make_batch(records, [read_pixels(record.path) for record in records])
    features = extract(model, data.train)
    attack = build_attack("ifgsm", eps=5 / 255)
    found = attack(model, batch, References(features, "leave_one_out"))
    expected = to_uint8(quantize(found.images, batch.images, 5 / 255))
    entries = {entry.image_id: entry for entry in read_manifest(stored(tmp_path)).entries}
    for record, image in zip(records, expected, strict=True):
        ours = read_pixels(stored(tmp_path) / entries[record.image_id].output)
        assert (ours != image).mean() < 0.01  # kernels round by the size of a batch


def test_a_share_of_the_set(settings, tmp_path):
    engine = trained(settings, adv__training__ratio=0.5, adv__training__attack="sma")
    assert len(engine.train_loader.dataset) == 13 + 6
    records = list(range(20))
    assert set(share(records, 0.2, 1)) < set(share(records, 0.6, 1)) < set(share(records, 1.0, 1))
    assert share(records, 0.5, 1) != share(records, 0.5, 2)


def test_the_start_of_the_second_training(settings):
    clean = read_checkpoint(settings["adv.training.weights"])["state_dict"]
    frozen = {"train__lr": 1e-12, "train__weight_decay": 0, "train__optim": "sgd"}
    ours = trained(settings, adv__training__init="clean", **frozen).model.state_dict()
    assert all(torch.allclose(ours[name], clean[name]) for name in clean if "weight" in name)
    again = trained(settings, **frozen).model.state_dict()
    assert not torch.allclose(again["conv.weight"], clean["conv.weight"])


def test_an_identity_sampler_sees_the_merged_set(settings):
    engine = trained(
        settings,
        sampler__train_sampler="RandomIdentitySampler",
        sampler__num_instances=2,
        loss__name="triplet",
        loss__triplet__weight_x=1.0,
    )
    assert sum(map(len, engine.train_loader.sampler.index_dic.values())) == 26


@pytest.fixture
def generator(tmp_path):
    torch.manual_seed(7)
    path = tmp_path / "generator.safetensors"
    save_generator(path, GeneratedNoise(eps=5 / 255, size=(64, 32), filters=4, blocks=1))
    return str(path)


@pytest.mark.parametrize("key", ["adv__training__universal", "adv__attack__weights"])
@pytest.mark.parametrize("evaluate", [False, True])
def test_the_training_set_may_be_attacked_by_what_was_learned_before(
    settings, tmp_path, generator, key, evaluate
):
    """Evaluations go on with their own attack, which takes no file."""
    own = {"adv__training__attack": "mis_ranking", key: generator}
    engine = trained(settings, adv__training__evaluate=evaluate, **own)
    assert len(engine.train_loader.dataset) == 26
    entries = read_manifest(stored(tmp_path)).entries
    assert all(entry.changed and entry.linf <= 5 for entry in entries)
    if evaluate:
        assert set(engine.attacked_results) == {"market1501"}


def test_the_attack_in_training_and_that_of_evaluations_have_files_of_their_own(
    settings, generator
):
    own = {"adv__training__evaluate": True, "adv__attack__name": "mis_ranking"}
    engine = trained(settings, adv__attack__weights=generator, **own)  # trained against ifgsm
    assert set(engine.attacked_results) == {"market1501"}
    with pytest.raises(ConfigError, match="'ifgsm' does not use adv"):
        trained(settings, adv__training__universal=generator)


def test_training_images_are_attacked_at_the_size_that_images_are_attacked_at(settings, tmp_path):
    sizes = {}
    for space in ("stored", "network"):
        log = str(tmp_path / space)
        trained(settings, adv__attack__space=space, data__save_dir=log, data__height=96)
        entries = read_manifest(stored(tmp_path, space)).entries
        sizes[space] = {read_pixels(stored(tmp_path, space) / e.output).shape for e in entries}
    assert sizes["network"] == {(96, 32, 3)}
    assert sizes["stored"] != sizes["network"]
    with pytest.raises(ConfigError, match="belongs to another run"):
        trained(settings, data__save_dir=str(tmp_path / "network"), data__height=96)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"adv__training__weights": ""}, "adv.training.weights"),
        ({"adv__training__weights": "missing.pth"}, "no such file"),
        (
            {"adv__training__attack": "fgsm", "adv__training__steps": 3},
            "not use adv.training.steps",
        ),
    ],
)
def test_what_cannot_be_is_said(settings, changed, words):
    with pytest.raises(ConfigError, match=words):
        trained(settings, **changed)


def test_another_attack_in_the_folder_is_refused(settings):
    trained(settings)
    with pytest.raises(ConfigError, match="belongs to another run"):
        trained(settings, adv__training__eps=3)


def test_the_rule_gives_the_lonely_themselves():
    from torchreid_adv.attacks import References
    from torchreid_adv.models import Features

    pids = torch.tensor([1, 1, 2])
    features = Features(torch.rand(3, 4), pids, pids, ("a", "b", "c"))
    mask = References(features, RULE).mask(pids, pids, ["a", "b", "c"])
    assert mask.tolist() == [[False, True, False], [True, False, False], [False, False, True]]


def test_a_report_is_made_of_the_last_checkpoint(settings, tmp_path, capsys):
    trained(settings, adv__training__report="['fgsm']", train__max_epoch=2)
    printed = capsys.readouterr().out
    assert "| fgsm | oblivious |" in printed
    assert "| fgsm | adaptive |" in printed
    assert (tmp_path / "log" / "robustness" / "robustness.json").is_file()
    assert printed.count("Checkpoint saved") == 1


def test_the_report_keeps_the_options_that_are_of_one_attack(settings, tmp_path):
    options = {"lta": {"legacy": True, "steps": 2}}
    trained(settings, adv__training__report="['fgsm', 'lta']", adv__attack__options=options)
    attacks = tmp_path / "log" / "robustness" / "attacks"
    found = [*attacks.glob("*/lta-eps5/results.json")]
    assert found
    for path in found:
        content = json.loads(path.read_text())
        assert content["config"]["adv"]["attack"]["options"] == options
        assert {t["attack"]["steps"] for t in content["targets"].values()} == {2}
