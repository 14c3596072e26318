"""attack-gallery with a defense: four figures, two variants, and a run that goes on."""

import json
import shutil

import numpy as np
import pytest
import torch
from markets import write_market

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.data.images import read_pixels
from torchreid_adv.models.loading import build_network
from torchreid_adv.runs.defended_run import SEEDS

MODEL = "osnet_x0_25"
FLAGS = ["model.name", MODEL, "data.height", "64", "data.width", "32", "data.workers", "0"]
SCALING = ["adv.defense.name", "circuitous_scaling", "adv.defense.options.sizes", "[[28,13]]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small market and random weights."""
    place = tmp_path_factory.mktemp("defended")
    write_market(
        place / "data", identities=2, cameras=2, images=1, sizes=((64, 32), (70, 29), (50, 40))
    )
    torch.manual_seed(5)
    state = {"state_dict": build_network(MODEL).state_dict(), "epoch": 1, "rank1": np.float32(0.5)}
    torch.save(state, place / "model.pth.tar-1")
    return place


def run(place, out, *options):
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(place / "data")]
    pairs = ["model.load_weights", str(place / "model.pth.tar-1"), "data.save_dir", str(out)]
    pairs += ["test.normalize_feature", "True", "adv.attack.eps", "8", "adv.attack.steps", "3"]
    try:
        return cli.main(["attack-gallery", *flags, *FLAGS, *pairs, *options])
    finally:
        config.forget()


def target(out):
    return json.loads((out / "results.json").read_text())["targets"]["market1501"]


@pytest.fixture(scope="module")
def scaled(place):
    out = place / "scaled"
    assert run(place, out, *SCALING) == 0
    return out


def test_the_defended_figures_are_those_of_a_defended_model(place, scaled):
    model = adv.load_model(MODEL, place / "model.pth.tar-1", size=(64, 32))
    defense = adv.build_defense("circuitous_scaling", sizes=[[28, 13]], final=[64, 32])
    defended = adv.Defended(defense, model)
    source = adv.load_dataset("market1501", root=place / "data")
    found = target(scaled)["defense"]
    assert found["name"] == "circuitous_scaling"
    assert found["adaptive_reason"] == ""
    assert found["draws"] is None
    folders = {"oblivious": "adversarial", "adaptive": "adversarial_adaptive"}
    for name in ("clean", "oblivious", "adaptive"):
        data = source
        if name in folders:
            folder = scaled / "market1501" / folders[name]
            data = adv.load_dataset("adversarial", folder=str(folder), root=str(place))
        sides = [adv.extract(defended, data.side(side)) for side in ("query", "gallery")]
        distance = adv.build_distance("euclidean", normalize=True)
        assert abs(adv.evaluate(*sides, distance=distance).mAP - found[name]["mAP"]) < 1e-6
        assert adv.evaluate(defended, data).mAP == adv.evaluate(*sides, distance=distance).mAP


def test_the_adaptive_variant_is_made_through_the_defense(place, scaled):
    source = {r.image_id: r for r in adv.load_dataset("market1501", root=place / "data").gallery}
    all_stored = {
        name: read_manifest(scaled / "market1501" / name)
        for name in ("adversarial", "adversarial_adaptive")
    }
    ids = [{e.image_id for e in manifest.entries} for manifest in all_stored.values()]
    assert ids[0] == ids[1]
    defense = adv.build_defense("circuitous_scaling", sizes=[[28, 13]], final=[64, 32])
    kept = {}
    for name, manifest in all_stored.items():
        energies = []
        for entry in manifest.entries:
            if entry.attacked:
                pair = [read_pixels(source[entry.image_id].path)]
                pair.append(read_pixels(scaled / "market1501" / name / entry.output))
                assert 0 < entry.linf <= 8
                clean, moved = (torch.tensor(p).permute(2, 0, 1)[None] / 255 for p in pair)
                change = (defense(moved) - defense(clean)).pow(2).mean()
                energies.append(float(change / (moved - clean).pow(2).mean()))
        kept[name] = np.mean(energies)
    assert kept["adversarial_adaptive"] > 2 * kept["adversarial"]


def test_the_undefended_figures_are_those_of_a_run_without(place, scaled, tmp_path):
    assert run(place, tmp_path) == 0
    plain, ours = target(tmp_path), target(scaled)
    for key in ("clean", "adversarial", "adversarial_float", "attack", "linf", "root"):
        assert plain[key] == ours[key], key
    assert plain["defense"] is None
    assert not (tmp_path / "market1501" / "adversarial_adaptive").exists()


def test_all_rows_are_printed_and_reported(place, scaled, capsys):
    assert run(place, scaled, *SCALING) == 0  # from what is stored
    printed = capsys.readouterr().out
    for row in ("undefended, clean", "undefended, adversarial"):
        assert row in printed
    for row in ("clean", "oblivious", "adaptive"):
        assert f"behind circuitous_scaling, {row}" in printed
        assert f"** Behind circuitous_scaling: {row} **" in printed
    page = (scaled / "report.html").read_text()
    assert "Behind circuitous_scaling" in page
    assert "an attack through the defense" in page


def test_a_run_goes_on_where_it_ended(place, scaled, tmp_path):
    other = tmp_path / "again"
    shutil.copytree(scaled, other)
    before = read_manifest(scaled / "market1501" / "adversarial_adaptive").root
    folder = other / "market1501" / "adversarial_adaptive"
    (folder / "manifest.jsonl").unlink()
    lost = sorted(folder.rglob("*.png"))[0]
    lost.unlink()
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert run(place, other, *SCALING) == 0
    assert read_manifest(folder).root == before
    assert lost.is_file()
    assert sum(path.stat().st_mtime_ns == time for path, time in kept.items()) > 0


def test_another_defense_is_another_run(place, scaled, capsys):
    assert run(place, scaled, "adv.defense.name", "jpeg") == 2
    assert "belongs to another run" in capsys.readouterr().err
    assert run(place, scaled) == 2


@pytest.mark.slow
def test_shards_make_the_same_variants(place, scaled, tmp_path):
    for shard in ("0/2", "1/2"):
        assert run(place, tmp_path, *SCALING, "adv.job.shard", shard) == 0
    assert not (tmp_path / "results.json").exists()
    assert run(place, tmp_path, *SCALING) == 0
    for name in ("adversarial", "adversarial_adaptive"):
        roots = [read_manifest(out / "market1501" / name).root for out in (tmp_path, scaled)]
        assert roots[0] == roots[1]
    assert target(tmp_path)["defense"] == target(scaled)["defense"]


@pytest.mark.slow
def test_a_random_defense_is_scored_by_several_seeds(place, tmp_path, capsys):
    random = [*SCALING, "adv.defense.options.randomized", "30", "adv.defense.eot_samples", "2"]
    assert run(place, tmp_path, *random, "adv.attack.side", "query") == 0
    found = target(tmp_path)["defense"]
    assert found["eot_samples"] == 2
    draws = found["draws"]
    assert draws["n"] == SEEDS
    assert (draws["std"], draws["worst"]) == (draws["adaptive"]["std"], draws["adaptive"]["worst"])
    for name in ("clean", "oblivious", "adaptive"):
        assert 0 < draws[name]["worst"] <= found[name]["mAP"] + 1e-9
    assert f"means over {SEEDS} seeds" in capsys.readouterr().out


def test_what_cannot_be_is_refused_before_anything_is_read(place, tmp_path, capsys):
    for options, sentence in (
        (["adv.defense.name", "circuitous_scaling", "adv.defense.preset", "jat"], "did you mean"),
        ([*SCALING, "adv.defense.options.mode", "box"], "mode is one of"),
        (["adv.defense.name", "jpeg", "adv.defense.draws", "3"], "not random"),
        (["adv.defense.preset", "jad"], "name one with adv.defense.name"),
    ):
        assert run(place / "nowhere", tmp_path, *options, "model.load_weights", "") == 2
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_tables_of_models_refuse_a_defense(place, tmp_path, capsys):
    flags = ["--root", str(place / "data"), *FLAGS, "data.save_dir", str(tmp_path)]
    flags += ["adv.transfer.models", f"['tiny:{place / 'model.pth.tar-1'}']"]
    assert cli.main(["transfer", *flags, "adv.defense.name", "jpeg"]) == 2
    assert "without a defense" in capsys.readouterr().err
    config.forget()


@pytest.mark.slow
def test_an_engine_that_attacks_writes_the_same(place, tmp_path):
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(place / "data"), *FLAGS]
    flags += ["model.load_weights", str(place / "model.pth.tar-1"), "test.evaluate", "True"]
    flags += ["test.normalize_feature", "True", "adv.attack.eps", "8", "adv.attack.steps", "3"]
    flags += [
        "model.pretrained",
        "False",
        "data.save_dir",
        str(tmp_path),
        "adv.engine",
        "metric_attack",
        *SCALING,
    ]
    assert cli.main(["train", *flags]) == 0
    config.forget()
    assert run(place, tmp_path / "same", *SCALING) == 0
    assert target(tmp_path)["defense"] == target(tmp_path / "same")["defense"]


class Opaque(adv.Defense):
    """No gradient, and nothing that stands in for it."""

    differentiable = False

    def exact(self, images):
        return images.round(decimals=1)


def test_without_a_gradient_the_report_says_why(place, tmp_path, capsys):
    adv.DEFENSES.register("opaque")(Opaque)
    try:
        assert run(place, tmp_path / "a", "adv.defense.name", "opaque") == 0
        found = target(tmp_path / "a")["defense"]
        assert found["adaptive"] is None
        assert "no gradient" in found["adaptive_reason"]
        assert "no gradient" in (tmp_path / "a" / "report.html").read_text()
        assert not (tmp_path / "a" / "market1501" / "adversarial_adaptive").exists()
    finally:
        adv.DEFENSES.remove("opaque")


def test_a_defended_model_is_attacked_in_python(place, tmp_path):
    model = adv.load_model(MODEL, place / "model.pth.tar-1", size=(64, 32))
    defended = adv.Defended(adv.build_defense("jpeg", quality=50), model)
    data = adv.load_dataset("market1501", root=place / "data")
    attack = adv.build_attack("ifgsm", eps=8 / 255, steps=2)
    attacked = adv.attack_dataset(defended, data, attack, out=tmp_path)
    assert len(attacked.gallery) == len(data.gallery)
    with pytest.raises(adv.ConfigError, match="another run"):
        adv.attack_dataset(model, data, attack, out=tmp_path)
