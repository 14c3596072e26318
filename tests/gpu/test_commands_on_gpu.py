"""The jobs on a CUDA device: stored images, figures, going on, and what the CPU says of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from markets import write_market
from people import Stripes, pixel_model, small_version, write_people
from place import DEVICE, GPU

from torchreid_adv import cli, config
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.data.images import read_pixels
from torchreid_adv.evaluation import evaluate
from torchreid_adv.evaluation.rerank import Reranking
from torchreid_adv.models import Features
from torchreid_adv.models.loading import build_network
from torchreid_adv.standard.run import evaluate_standard

pytestmark = pytest.mark.gpu

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("gpu_jobs")
    write_market(place / "data", sizes=((64, 32), (70, 29), (50, 40)))
    torch.manual_seed(5)
    torch.save({"state_dict": build_network("osnet_x0_25").state_dict()}, place / "model.pth.tar-1")
    return place


def job(place, name, *options, use_gpu=GPU):
    config.forget()
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(place / "data")]
    pairs = ["model.name", "osnet_x0_25", "model.load_weights", str(place / "model.pth.tar-1")]
    pairs += ["data.height", "64", "data.width", "32", "data.workers", "0", "use_gpu", str(use_gpu)]
    pairs += ["test.normalize_feature", "True", "adv.attack.eps", "8", "adv.job.chunk", "4"]
    code = cli.main(
        ["attack-gallery", *flags, *pairs, "data.save_dir", str(place / name), *options]
    )
    config.forget()
    return code


def stored(out):
    folder = out / "market1501" / "adversarial"
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def results(out):
    return json.loads((out / "results.json").read_text())["targets"]["market1501"]


@pytest.mark.parametrize("attack", ["ifgsm", "sma", "square"])
def test_a_job_on_the_gpu_is_within_bounds_and_verified(place, attack):
    out = place / attack
    assert job(place, attack, "adv.attack.name", attack) == 0
    manifest = read_manifest(out / "market1501" / "adversarial")
    assert any(entry.changed for entry in manifest.entries)
    for entry in manifest.entries:
        before = read_pixels(place / "data" / entry.source)
        after = read_pixels(out / "market1501" / "adversarial" / entry.output)
        assert np.abs(before.astype(int) - after.astype(int)).max() == entry.linf <= 8
    folder = str(out / "market1501" / "adversarial")
    assert cli.main(["verify", folder, "--root", str(place / "data")]) == 0


def test_twice_the_same_bytes(place):
    assert job(place, "one") == 0
    assert job(place, "two", "adv.job.chunk", "3") == 0
    one, two = stored(place / "one"), stored(place / "two")
    assert one.keys() == two.keys()
    same = sum(one[name] == two[name] for name in one)
    assert same >= 0.9 * len(one)  # kernels of other batch sizes round in another way


def test_the_figures_are_near_the_cpus(place):
    assert job(place, "fast") == 0
    assert job(place, "slow", use_gpu=False) == 0
    fast, slow = results(place / "fast"), results(place / "slow")
    for key in ("clean", "adversarial"):
        assert fast[key]["mAP"] == pytest.approx(slow[key]["mAP"], abs=0.03)


@pytest.mark.parametrize("defense", ["circuitous_scaling", "jpeg", "rrp_paper"])
def test_a_defended_model(place, defense):
    assert job(place, defense, "adv.defense.name", defense, "adv.attack.steps", "2") == 0
    assert results(place / defense)


def test_retrieval_and_re_ranking_are_the_cpus():
    draw = torch.Generator().manual_seed(0)
    pids = torch.randint(0, 12, (200,), generator=draw)
    values = torch.randn(12, 32, generator=draw)[pids] + torch.randn(200, 32, generator=draw)
    camids = torch.randint(0, 3, (200,), generator=draw)
    names = [f"{n}" for n in range(200)]

    def side(rows, device):
        return Features(values[rows].to(device), pids[rows], camids[rows], tuple(names[rows]))

    for options in ({}, {"rerank": Reranking()}):
        slow, fast = (
            evaluate(side(slice(0, 50), d), side(slice(50, 200), d), **options)
            for d in ("cpu", DEVICE)
        )
        assert fast.mAP == pytest.approx(slow.mAP, abs=1e-6)
        assert np.allclose(fast.cmc, slow.cmc)


def test_the_standard_evaluation(place, tmp_path):
    data = write_people(tmp_path / "people")
    found = [
        evaluate_standard(
            pixel_model(Stripes()).to(device),
            data,
            out=tmp_path / str(number),
            version=small_version(),
            surrogates=[pixel_model(Stripes(n)).to(device) for n in (1, 2)],
        )
        for number, device in enumerate(("cpu", DEVICE))
    ]
    for track in "QG":
        slow, fast = (next(iter(one["tracks"][track].values())) for one in found)
        assert fast["clean"]["mAP"] == pytest.approx(slow["clean"]["mAP"], abs=0.02)
        assert fast["robust"]["mAP"] == pytest.approx(slow["robust"]["mAP"], abs=0.1)
