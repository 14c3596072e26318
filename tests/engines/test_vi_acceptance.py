"""The video network through Engine.run: two sources, evaluation, a training that goes on."""

import numpy as np
import pytest
import torch
from scripts.tiny_resnet import TinyResNet
from vcm import write_vcm
from vi_runs import run, vi_settings

from torchreid_adv.engines.self_attack_video import VISelfAttackMixin
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.self_attack import SelfAttackVideo, layers


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """54 gallery tracklets of 27 people by two cameras."""
    return write_vcm(tmp_path_factory.mktemp("vcm"), train=2, test=27, frames=2)


@pytest.fixture
def settings(root, tmp_path, monkeypatch):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    monkeypatch.setattr(layers.models, "resnet18", TinyResNet)
    return vi_settings(root, tmp_path / "log")


def test_both_directions_are_evaluated_as_torchreid_does(settings):
    """Features one by one, torchreid's own ranking, which takes the query's camera out."""
    engine = run(settings, test__evaluate=True)
    rank = torchreid_module("metrics").evaluate_rank
    for name, (asking, asked) in {"vcm_i2v": (1, 0), "vcm_v2i": (0, 1)}.items():
        sides, modalities = {}, {"query": asking, "gallery": asked}
        for side, loader in engine.test_loader[name].items():
            rows = loader.dataset
            assert len(rows) == 54
            with torch.no_grad():
                features = torch.cat(
                    [
                        engine.model(row["img"][None], torch.tensor([modalities[side]]))
                        for row in rows
                    ]
                )
            labels = [np.array([row[place] for row in rows.data]) for place in (1, 2)]
            sides[side] = (torch.nn.functional.normalize(features), *labels)
        (query, *asks), (gallery, *answers) = sides["query"], sides["gallery"]
        matrix = (1 - query @ gallery.T).numpy()
        labels = (asks[0], answers[0], asks[1], answers[1])
        cmc, mean = rank(matrix, *labels, use_cython=False)
        result = engine.results[name]
        assert result.mAP == pytest.approx(mean, abs=1e-4)
        assert result.rank(1) == pytest.approx(cmc[0], abs=1e-4)
        nobody = np.full(54, -1)  # a gallery by other cameras: nothing is taken out
        _, other = rank(matrix, *labels[:3], nobody, use_cython=False)
        assert abs(other - mean) > 1e-3


def test_modalities_of_two_sources_arrive_in_their_batches(settings, monkeypatch):
    seen, stock = [], VISelfAttackMixin.forward_backward

    def watched(self, data):
        seen.append((data["pid"].tolist(), data["dsetid"].tolist()))
        return stock(self, data)

    monkeypatch.setattr(VISelfAttackMixin, "forward_backward", watched)
    monkeypatch.setattr(VISelfAttackMixin, "test", lambda self, **kw: 0.0)
    engine = run(settings, data__sources="['vcm_i2v', 'vcm_v2i']", train__max_epoch=6)
    assert engine.datamanager.num_train_pids == 4
    for pids, dsetids in seen:
        assert [number % 2 for number in dsetids] == [0, 0, 1, 1] * 2
        for place, number in enumerate(dsetids):
            assert number // 2 == pids[place] // 2  # the second source's people are 2 and 3
    assert {number for _, dsetids in seen for number in dsetids} == {0, 1, 2, 3}


@pytest.mark.parametrize("epoch", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_that_was_stopped_goes_on_the_same(settings, tmp_path, epoch):
    """Stopped after the last epoch before the classifier is fixed, or after the one behind it."""
    keys = {"adv__video__warmup": 2, "adv__video__first_epochs": 1, "train__optim": "adam"}
    whole = run(settings, train__max_epoch=3, **keys)
    part, rest = str(tmp_path / "part"), str(tmp_path / "rest")
    run(settings, train__max_epoch=epoch, data__save_dir=part, **keys)
    saved = f"{part}/model/model.pth.tar-{epoch}"
    resumed = run(settings, train__max_epoch=3, model__resume=saved, data__save_dir=rest, **keys)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_backbone_from_a_file_is_where_all_parts_start(settings, tmp_path):
    torch.manual_seed(3)
    start = TinyResNet()
    with torch.no_grad():
        start.bn1.running_mean += 1
    path = tmp_path / "backbone.pth"
    torch.save(
        {"state_dict": {**start.state_dict(), "classifier.weight": torch.zeros(9, 16)}}, path
    )
    model = SelfAttackVideo(3, backbone="resnet18", weights=str(path))
    for stem in (model.stem_visible, model.stem_infrared):
        assert torch.equal(stem[0].weight, start.conv1.weight)
        assert torch.equal(stem[1].running_mean, start.bn1.running_mean)
    last = start.layer4[0].conv1.weight
    assert torch.equal(model.defender_last[0][0].conv1.weight, last)
    assert torch.equal(model.attacker[3][0].conv1.weight, last)
    engine = run(settings, test__evaluate=True, adv__video__backbone=str(path))
    assert torch.equal(engine.model.defender_last[0][0].conv1.weight, last)
