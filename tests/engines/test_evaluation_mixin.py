"""The adapted engine prints torchreid's lines and numbers; users' own code stays theirs."""

import re

import pytest
import torch
from torch import nn

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.integration.layout import torchreid_module


class Tiny(nn.Module):
    """Mean colors of stripes; logits in training, features in testing."""

    def __init__(self, classes):
        super().__init__()
        self.classifier = nn.Linear(24, classes)

    def forward(self, images):
        features = nn.functional.adaptive_avg_pool2d(images, (4, 2)).flatten(1)
        return self.classifier(features) if self.training else features


def make_engine(market, base=None):
    data = torchreid_module("data").ImageDataManager(
        root=str(market), sources="market1501", height=64, width=32, workers=0, use_gpu=False,
        batch_size_train=4, transforms=["random_flip"],
    )  # fmt: skip
    torch.manual_seed(0)
    network = Tiny(data.num_train_pids)
    optim = torchreid_module("optim")
    optimizer = optim.build_optimizer(network)
    scheduler = optim.build_lr_scheduler(optimizer)
    base = base or torchreid_module("engine").ImageSoftmaxEngine
    return base(data, network, optimizer, scheduler=scheduler, use_gpu=False)


def lines(text):
    """The lines that carry results or say what is done, without timings and mINP."""
    kept = [line for line in text.splitlines() if not re.match(r"Speed|mINP|Normal|Note", line)]
    return [re.sub(r"\s+", " ", line) for line in kept]


OPTIONS = [
    {},
    {"dist_metric": "cosine"},
    {"normalize_feature": True},
    {"rerank": True},
    {"ranks": [1, 3]},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_same_lines_and_numbers_as_torchreid(market, capsys, options):
    engine = make_engine(market)
    capsys.readouterr()
    engine.run(test_only=True, **options)
    theirs = lines(capsys.readouterr().out)
    adv.adapt_engine(engine, config.current())
    engine.run(test_only=True, **options)
    assert lines(capsys.readouterr().out) == theirs
    assert 0 < engine.results["market1501"].mAP < 1


def test_results_can_be_read(market, capsys):
    engine = adv.adapt_engine(make_engine(market), config.current())
    engine.run(test_only=True)
    result = engine.results["market1501"]
    assert f"mAP: {result.mAP:.1%}" in capsys.readouterr().out
    assert result.queries == 12


def test_ranks_beyond_the_gallery_are_no_error(market):
    engine = adv.adapt_engine(make_engine(market), config.current())
    engine.run(test_only=True, ranks=[1, 500])


def test_pictures_of_ranks_are_drawn(market, tmp_path):
    engine = adv.adapt_engine(make_engine(market), config.current())
    engine.run(test_only=True, visrank=True, visrank_topk=3, save_dir=str(tmp_path))
    assert len(list((tmp_path / "visrank_market1501").iterdir())) == 12


def test_the_ap_rule_of_the_config_is_used(market):
    cfg = config.current()
    cfg.adv.evaluation.ap_rule = "trapezoid"
    engine = adv.adapt_engine(make_engine(market), cfg)
    engine.run(test_only=True)
    assert engine.results["market1501"].ap_rule == "trapezoid"


def test_a_users_loss_and_evaluation_stay(market):
    stock = torchreid_module("engine").ImageSoftmaxEngine

    class Own(stock):
        calls = 0

        def forward_backward(self, data):
            Own.calls += 1
            return {"own": 1.0}

        def _evaluate(self, **keywords):
            return 0.25, 0.5

    engine = adv.adapt_engine(make_engine(market, Own), config.current())
    engine.writer = torchreid_module("engine.engine").SummaryWriter(log_dir=str(market / "log"))
    engine.run(max_epoch=1, save_dir=str(market / "log"))
    assert Own.calls == 6
    saved = torch.load(market / "log" / "model" / "model.pth.tar-1", weights_only=True)
    assert saved["rank1"] == 0.25


def test_checkpoints_are_read_back_without_unpickling(market):
    with adv.installed():
        engine = make_engine(market)
        engine.run(max_epoch=1, save_dir=str(market / "log"))
    path = market / "log" / "model" / "model.pth.tar-1"
    assert type(torch.load(path, weights_only=True)["rank1"]) is float
