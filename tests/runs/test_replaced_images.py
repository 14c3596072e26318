"""An image that is replaced, with its size and mtime kept, is noticed by all who keep results."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from markets import write_market
from people import TOY, Stripes, write_people
from PIL import Image
from scripts.tiny_model import tiny

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.cli import command as stock_config
from torchreid_adv.engines.trained import _train, training_key, training_settings
from torchreid_adv.experiments.learned import learning_key, learning_settings, source_models, way
from torchreid_adv.experiments.papers.vi_video import search_key, search_settings
from torchreid_adv.models import PixelModel
from torchreid_adv.models.specs import parse_models
from torchreid_adv.runs.attack_dataset import configured_job, run_or_read
from torchreid_adv.runs.grid import Grid
from torchreid_adv.runs.grid_attack import GridAttack
from torchreid_adv.standard.run import evaluate_standard

pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    torch.save(tiny(1).state_dict(), tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


@pytest.fixture
def toy(tmp_path, weights):
    """The config of a job on a toy market."""
    market = write_market(tmp_path / "data", identities=3, images=1)
    cfg = configured(market, tmp_path / "out")
    cfg.model.load_weights = str(weights)
    return cfg


def configured(market, out):
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(market)]
    pairs = ["model.name", "tiny", "data.height", "64", "data.width", "32", "data.workers", "0"]
    pairs += ["data.save_dir", str(out), "adv.plugins", "['scripts.tiny_model']"]
    pairs += ["adv.attack.name", "fgsm", "adv.attack.eps", "8", "adv.job.chunk", "4"]
    parser = stock_config.make_parser("toy")
    cfg = stock_config.merged_config(parser.parse_args([*flags, *pairs]))
    config.setup(cfg)
    return cfg


def run(cfg, command="attack-gallery", *pairs):
    """Run a command with a config's settings and return its exit code."""
    flags = ["-s", "market1501", "-t", "market1501", "--root", cfg.data.root]
    for key in ("model.name", "model.load_weights", "data.height", "data.width", "data.workers",
                "data.save_dir", "adv.plugins", "adv.attack.name", "adv.attack.eps",
                "adv.job.chunk"):  # fmt: skip
        pairs = (key, repr(config.lookup(cfg, key)), *pairs)
    code = cli.main([command, *flags, *[p.strip("'") for p in pairs]])
    config.forget()
    return code


def replace(path):
    """Put another picture there, of the same number of bytes and with the same mtime."""
    before, buffer = path.stat(), io.BytesIO()
    pixels = 255 - np.array(Image.open(path))
    Image.fromarray(pixels).save(buffer, path.suffix[1:].replace("jpg", "jpeg"), quality=30)
    content = buffer.getvalue()
    path.write_bytes(content + b"\0" * (before.st_size - len(content)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def image(cfg, folder, number=0):
    return sorted(Path(cfg.data.root).rglob(f"{folder}/*.jpg"))[number]


@pytest.mark.parametrize("folder", ["query", "bounding_box_test", "bounding_box_train"])
@pytest.mark.parametrize("ended", [True, False])
def test_a_run_does_not_go_on(toy, capsys, folder, ended):
    assert run(toy) == 0
    stored = Path(toy.data.save_dir) / "market1501" / "adversarial"
    if not ended:
        (stored / "manifest.jsonl").unlink()
    path = image(toy, folder, 2)
    original = path.read_bytes()
    replace(path)
    capsys.readouterr()
    assert run(toy) == 3
    said = capsys.readouterr().err
    assert f"{folder}/{path.name}' was replaced or changed" in said
    assert "put them back, or choose another data.save_dir" in said
    path.write_bytes(original)  # with another mtime
    assert run(toy) == 0


def test_images_that_come_go_or_change_identity_are_named(toy, capsys):
    assert run(toy) == 0
    first = image(toy, "query")
    moved = first.rename(first.with_name(f"1{first.name[1:]}"))
    assert run(toy) == 3
    assert "' is gone (and 1 more)" in capsys.readouterr().err
    moved.rename(first)
    first.with_name(f"1{first.name[1:]}").write_bytes(first.read_bytes())
    assert run(toy) == 3
    assert "' is new;" in capsys.readouterr().err


def test_a_change_in_the_middle_of_a_run_is_named(toy, capsys, monkeypatch):
    from torchreid_adv.runs.writer import ImageWriter

    work = ImageWriter._work

    def meanwhile(*arguments):
        replace(image(toy, "bounding_box_test", 5))
        work(*arguments)

    monkeypatch.setattr(ImageWriter, "_work", meanwhile)
    assert run(toy) == 3
    assert "1 images of 'market1501' were changed during the run (first:" in capsys.readouterr().err
    assert not (Path(toy.data.save_dir) / "results.json").exists()


def test_a_run_whose_list_of_images_is_gone_is_refused(toy, capsys):
    assert run(toy) == 0
    (Path(toy.data.save_dir) / "market1501" / ".job" / "images.json").unlink()
    assert run(toy) == 2
    assert "the images of the run in" in capsys.readouterr().err


def test_a_folder_of_an_earlier_version_is_refused_and_left(toy, capsys):
    out = Path(toy.data.save_dir)
    out.mkdir()
    (out / "run.json").write_text(json.dumps({"version": "0.9", "sha256": "0", "chunk": 4}))
    assert run(toy) == 2
    said = capsys.readouterr().err
    assert "an earlier version wrote it, which did not record all that decides a result" in said
    assert [path.name for path in out.iterdir()] == ["run.json"]


def models(toy):
    return ["adv.transfer.models", repr([f"a=tiny:{toy.model.load_weights}"]),
            "adv.transfer.attacks", "['fgsm']"]  # fmt: skip


def test_a_table_is_refused_where_it_attacked_and_scored_anew_where_not(toy, capsys):
    assert run(toy, "transfer", *models(toy)) == 0
    spec = parse_models([f"a=tiny:{toy.model.load_weights}"])[0]
    cells = Path(toy.data.save_dir) / "cells"

    def clean():
        table = Grid(toy)
        table.clean_cell(spec, table.data("market1501"), Path(toy.data.save_dir))
        return {path.name for path in cells.iterdir()}

    before = clean()
    assert clean() == before
    replace(image(toy, "bounding_box_test", 1))
    assert len(clean() - before) == 1
    assert run(toy, "transfer", *models(toy)) == 3
    assert "was replaced or changed" in capsys.readouterr().err


def test_results_by_other_rules_are_scored_anew_from_the_same_images(toy):
    """A table keeps a cell for each rule; a run's own results are those of the rule asked for."""
    table, out = Grid(toy), Path(toy.data.save_dir)
    spec, data = parse_models([f"a=tiny:{toy.model.load_weights}"])[0], table.data("market1501")
    grid_attack = GridAttack((spec,), "fgsm", 8.0, "")

    def cell(rule):
        toy.adv.evaluation.ap_rule = rule
        table.attack(grid_attack, [data], out)
        return table.cell(grid_attack, spec, data, out).adversarial["mAP"]

    first = cell("standard")
    (results,) = out.glob("attacks/*/*/results.json")
    folder, before = results.parent, results.read_text()
    stored = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    other = cell("trapezoid")
    assert other != first
    assert results.read_text() == before  # the images are all that a table takes of it
    own = grid_attack.config(toy, out)
    facts = {"name": spec.name, "weights": spec.weights, "size": [64, 32]}
    run = run_or_read(own, table.model(spec), facts, [data], folder, "again")
    assert run["market1501"]["adversarial"]["mAP"] == pytest.approx(other)
    assert {path: path.stat().st_mtime_ns for path in stored} == stored


def test_a_fitted_metric_is_fitted_again(toy):
    toy.test.dist_metric = "xqda"
    specs, out = tuple(parse_models([f"a=tiny:{toy.model.load_weights}"])), Path(toy.data.save_dir)

    def maps():
        table = Grid(toy)
        distance = table._distance(specs, table.data("market1501"), configured_job(toy), out)
        return distance.digest(), len(list(out.glob("distances/*/distance.safetensors")))

    first, count = maps()
    assert maps() == (first, 1)
    assert count == 1
    replace(image(toy, "bounding_box_train"))
    second, count = maps()
    assert second != first
    assert count == 2


def test_a_training_set_is_not_gone_on_with(toy, capsys):
    pairs = ["adv.training.weights", toy.model.load_weights, "adv.training.attack", "fgsm"]
    pairs += ["train.batch_size", "4"]
    assert run(toy, "attack-train", *pairs) == 0
    replace(image(toy, "bounding_box_train", 3))
    assert run(toy, "attack-train", *pairs) == 3
    assert "bounding_box_train/" in capsys.readouterr().err


def test_a_model_is_trained_again(toy):
    def key():
        return training_key(training_settings(toy)).digest

    before = key()
    replace(image(toy, "query"))
    assert key() == before  # no part of the training
    replace(image(toy, "bounding_box_train"))
    assert key() != before
    toy.data.combineall = True
    whole = key()
    replace(image(toy, "query", 1))
    assert key() != whole


def test_moved_data_are_the_same(toy):
    before = training_key(training_settings(toy)).digest
    toy.data.root = str(Path(toy.data.root).rename(Path(toy.data.root).with_name("moved")))
    assert training_key(training_settings(toy)).digest == before


def test_an_attack_is_learned_again(toy, weights):
    victim = source_models([f"T-market1501=tiny:{weights}"])[0]

    def key(learning="source"):
        return learning_key(learning_settings(toy, victim, way("delta", learning, 8))).digest

    before = key()
    replace(image(toy, "bounding_box_train"))
    after = key()
    assert after != before
    toy.adv.meta.virtual = "market1501"
    assert key("joined") != after
    torch.manual_seed(1)
    torch.save(tiny(1).state_dict(), weights)
    assert key() not in (before, after)


def test_a_search_is_made_again(toy, weights):
    spec = parse_models([f"a=tiny:{weights}"])[0]
    toy.model.load_weights = ""

    def key():
        return search_key(search_settings(toy, spec)).digest

    before = key()
    replace(image(toy, "bounding_box_test"))
    after = key()
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert len({before, after, key()}) == 3


def test_a_standard_evaluation_does_not_go_on(tmp_path):
    data = write_people(tmp_path / "data", identities=3)
    model = PixelModel(Stripes().eval(), size=(16, 8))
    contents = adv.ConfigError, adv.DataError

    def evaluated():
        return evaluate_standard(model, data, out=tmp_path / "out", version=TOY, tracks=("Q",))

    first = evaluated()
    assert evaluated() == first
    path = data.gallery[3].path
    before = path.stat()
    Image.fromarray(255 - np.array(Image.open(path))).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(contents, match="was replaced or changed") as error:
        evaluated()
    assert error.value.exit_code == 3
    assert data.gallery[3].image_id in str(error.value)


def trained(cfg, folder):
    settings = training_settings(cfg)
    _train(settings, folder)
    state = torch.load(folder / "model" / "model.pth.tar-1", weights_only=False)["state_dict"]
    return training_key(settings).digest, state


def test_keys_that_are_left_out_do_not_change_a_bit_of_the_weights(toy, tmp_path):
    """All of them are changed at once, in a training that draws and evaluates."""
    toy.model.name, toy.model.load_weights = "tiny_classifier", ""
    toy.data.transforms, toy.train.max_epoch, toy.train.batch_size = ["random_flip"], 1, 4
    toy.test.eval_freq = 1
    key, weights = trained(toy, tmp_path / "one")
    toy.data.save_dir, toy.data.targets = "elsewhere", ["nowhere"]
    toy.train.print_freq, toy.test.ranks, toy.test.batch_size = 1, [1, 2], 3
    toy.test.rerank, toy.test.dist_metric, toy.test.normalize_feature = True, "cosine", True
    toy.adv.attack.name, toy.adv.attack.eps, toy.adv.attack.seed = "sma", 3.0, 9
    toy.adv.job.chunk, toy.adv.training.steps, toy.adv.meta.margin = 3, 2, 0.1
    toy.adv.evaluation.ap_rule, toy.adv.report.page = "trapezoid", False
    toy.adv.defense.name, toy.adv.video.min_length = "jpeg", 3
    toy.adv.virtual.distractors, toy.adv.study.seeds = 7, [1, 2, 3]
    same, again = trained(toy, tmp_path / "two")
    assert same == key
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    toy.train.seed += 1
    other, different = trained(toy, tmp_path / "three")
    assert other != key
    assert not all(torch.equal(weights[name], different[name]) for name in weights)
