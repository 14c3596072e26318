"""``adv.engine: vi_self_attack`` through torchreid's own loop."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from standins import write_github_layout
from torch.nn import functional as F
from vcm import write_vcm
from vi_runs import run, vi_settings

from torchreid_adv.engines.self_attack_video import (
    VISelfAttackMixin,
    batch_hard,
    confusion_loss,
    identity_loss,
)
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import evaluate_matrix
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.self_attack.parts import GROUPS

ROOT = Path(__file__).parents[2]
HALVES = torch.tensor([0, 0, 1, 1])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_vcm(tmp_path_factory.mktemp("vcm"), train=2, test=2, frames=3)


@pytest.fixture
def settings(root, tmp_path, monkeypatch):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip
    return vi_settings(root, tmp_path / "log")


def state(model):
    return {
        group: torch.cat(
            [
                p.detach().flatten()
                for name, p in model.named_parameters()
                if name.split(".")[0] in children
            ]
        )
        for group, children in GROUPS.items()
    }


def test_each_update_moves_its_groups_and_no_others(settings, monkeypatch):
    """With momentum and weight decay, and with all layers thawed by torchreid in each epoch."""
    seen = []
    stock = VISelfAttackMixin._update

    def watched(self, step, *rest):
        before = state(self.model)
        assert all(p.requires_grad for p in self.model.parameters())
        summary = stock(self, step, *rest)
        after = state(self.model)
        moved = {g for g in GROUPS if not torch.equal(before[g], after[g])}
        seen.append((self.epoch, step, moved))
        return summary

    monkeypatch.setattr(VISelfAttackMixin, "_update", watched)
    engine = run(settings, train__max_epoch=2, adv__video__first_epochs=1, video__seq_len=1)
    attack = {"stems", "attacker", "classifier_attack"}
    parts = {"stems", "defender", "guidance", "classifier_parts"}
    assert seen == [
        (0, "defense", {"stems", "defender", "classifier"}),
        (0, "parts", parts),
        (0, "attack", attack),
        (1, "defense", {"defender"}),
        (1, "parts", parts),
        (1, "attack", attack),
    ]
    assert set(engine.results) == {"vcm_i2v", "vcm_v2i"}
    for result in engine.results.values():
        assert 0 <= result.mAP <= 1
        assert len(result.average_precision) == 4  # two cameras of two people


@pytest.mark.parametrize("optim", ["sgd", "adam"])
def test_the_classifier_of_the_parts_may_learn_at_a_rate_of_its_own(settings, monkeypatch, optim):
    """One update of the parts, weight decay included, against that at the full rate."""

    def moved_by(rate):
        stock, found = VISelfAttackMixin._update, {}

        def watched(self, step, *rest):
            names = dict(self.model.named_parameters())
            before = {name: p.detach().clone() for name, p in names.items()}
            summary = stock(self, step, *rest)
            if step == "parts" and not found:
                found.update({name: p.detach() - before[name] for name, p in names.items()})
            return summary

        with monkeypatch.context() as patch:
            patch.setattr(VISelfAttackMixin, "_update", watched)
            more = {"adv__video__parts_rate": rate, "adv__video__parts_neck": "classifier"}
            run(settings, train__optim=optim, video__seq_len=1, **more)
        return found

    moves = {rate: moved_by(rate) for rate in (1.0, 0.1)}
    slowed = ("classifier_parts.weight", "neck_parts.weight")
    for name, whole in moves[1.0].items():
        share = 0.1 if name in slowed else 1.0
        assert torch.allclose(moves[0.1][name], share * whole, rtol=1e-3, atol=1e-7), name
    assert all(moves[1.0][name].abs().max() > 0 for name in slowed)


def test_confusion_is_least_where_all_identities_are_alike():
    logits = torch.zeros(4, 6)
    assert confusion_loss(logits, HALVES).item() == pytest.approx(2 * math.log(6))
    assert confusion_loss(torch.randn(4, 6), HALVES).item() > 2 * math.log(6)


def test_losses_are_sums_of_a_mean_of_each_modality():
    torch.manual_seed(0)
    logits, pids = torch.randn(4, 6), torch.tensor([3, 1, 3, 1])
    assert identity_loss(logits, pids, HALVES).item() == pytest.approx(
        2 * F.cross_entropy(logits, pids).item(), rel=1e-5
    )


def test_triplets_are_torchreid_s_and_squared_as_printed():
    torch.manual_seed(0)
    features, pids = torch.randn(8, 5), torch.arange(8) % 3
    stock = torchreid_module("losses").TripletLoss(margin=0.3)
    assert batch_hard(features, pids, margin=0.3).item() == pytest.approx(
        stock(features, pids).item(), rel=1e-4
    )
    total = 0.0
    for i in range(8):
        apart = (features - features[i]).square().sum(1)
        total += max(
            0.0, (apart[pids == pids[i]].max() - apart[pids != pids[i]].min() + 0.3).item()
        )
    assert batch_hard(features, pids, margin=0.3, squared=True).item() == pytest.approx(total / 8)


def test_a_match_by_the_same_camera_does_not_count_in_the_other_modality():
    """Camera 3 by day is camera 3 at night: nearest of all, and taken out of the ranking."""
    result = evaluate_matrix(torch.tensor([[0.1, 0.5, 0.9]]), [7], [7, 8, 7], [3], [3, 1, 2])
    assert result.rank(1) == 0
    assert result.mAP == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(
            {"sampler__train_sampler": "RandomSampler"},
            "pairs of both modalities",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"model__name": "resnet18"},
            "trains self_attack_video, got ResNet",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"adv__video__weights": "[1.0, 0.5]"}, "three numbers", marks=pytest.mark.slow
        ),
        ({"adv__engine": ""}, "of two modalities; set adv.engine vi_self_attack"),
        ({"data__type": "image"}, "of two modalities; set data.type video"),
        ({"video__sample_method": "dense"}, "set test.batch_size 1"),
        ({"data__sources": "['mars']"}, "visible-infrared sets; for 'mars'"),
        ({"train__batch_size": 10}, "make it a multiple"),
    ],
)
def test_what_cannot_be_is_refused_before_training(settings, changed, message):
    with pytest.raises(ConfigError, match=message):
        run(settings, **changed)


def test_a_batch_that_is_not_of_pairs_is_refused():
    data = {"img": torch.zeros(2, 1, 3, 8, 8), "pid": torch.tensor([0, 1])}
    with pytest.raises(ConfigError, match="not pairs of one identity each"):
        VISelfAttackMixin().forward_backward({**data, "dsetid": torch.tensor([0, 1])})


@pytest.mark.slow
def test_the_rate_rises_and_then_follows_the_schedule(settings, monkeypatch):
    rates = []

    def quick(self, data):
        rates.append(self.optimizer.param_groups[0]["lr"])
        return {"loss": 0.0}

    monkeypatch.setattr(VISelfAttackMixin, "forward_backward", quick)
    monkeypatch.setattr(VISelfAttackMixin, "test", lambda self, **kw: 0.0)
    run(
        settings,
        train__max_epoch=5,
        adv__video__warmup=3,
        train__lr_scheduler="multi_step",
        train__stepsize="[4]",
    )
    assert rates == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.001])


def test_a_loss_that_is_not_finite_stops_the_training():
    engine = VISelfAttackMixin()
    engine.epoch, engine.batch_idx = 0, 2
    with pytest.raises(DataError, match="the loss 'fool' is nan in epoch 1, batch 3"):
        engine._check_finite({"id": 1.0, "fool": math.nan})


@pytest.mark.slow
@pytest.mark.parametrize("update", ["alternate", "joint"])
def test_training_learns_the_identities(settings, update):
    engine = run(
        settings,
        train__max_epoch=25,
        adv__video__update=update,
        adv__video__first_epochs=20,
    )
    assert engine.results["vcm_i2v"].rank(1) > 0.5


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(settings, tmp_path):
    whole = run(settings, train__max_epoch=2, adv__video__warmup=3)
    saved = str(tmp_path / "half")
    run(settings, train__max_epoch=1, adv__video__warmup=3, data__save_dir=saved)
    resumed = run(
        settings,
        train__max_epoch=2,
        adv__video__warmup=3,
        model__resume=f"{saved}/model/model.pth.tar-1",
        data__save_dir=str(tmp_path / "rest"),
    )
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.slow
def test_dense_descriptors_are_means_over_clips(settings):
    settings = {**settings, "video.sample_method": "dense", "test.batch_size": 1}
    engine = run(settings, test__evaluate=True)
    loader = engine.test_loader["vcm_i2v"]["query"]
    data = next(iter(loader))
    assert data["img"].shape[1] == 4  # three frames in two clips of two
    images, *_ = engine.parse_data_for_eval(data)
    with torch.no_grad():
        found = engine.extract_features(images)
        one = engine.model(images[:, :2], torch.tensor([1]))
        other = engine.model(images[:, 2:], torch.tensor([1]))
    assert torch.allclose(found, (one + other) / 2, atol=1e-6)


@pytest.mark.slow
def test_it_trains_and_evaluates_in_github_s_layout(settings, tmp_path):
    """Both directions among 54 tracklets, in a process that has torchreid as its repository has it.

    The same figures as in the other layout.
    """
    settings["data.root"] = str(write_vcm(tmp_path / "more", train=2, test=27, frames=2))
    here = run(settings, data__save_dir=str(tmp_path / "here"))
    write_github_layout(tmp_path / "clone")
    pairs = [str(part) for pair in settings.items() for part in pair]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "clone"), str(ROOT)]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "torchreid_adv", "train", *pairs],
        env=environment, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("vcm_i2v", "vcm_v2i"):
        assert f"Evaluating {name}" in done.stdout
    printed = re.findall(r"^mAP: .*%$", done.stdout, flags=re.MULTILINE)
    assert printed == [here.results[name].lines()[0] for name in ("vcm_i2v", "vcm_v2i")]
