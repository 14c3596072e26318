"""AGW's triplet loss, by a loop and in torchreid's own engine."""

import math

import pytest
import torch

from torchreid_adv import config
from torchreid_adv.engines.weighted_triplet import WeightedTripletLoss
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration import adapt_engine
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.resnet import GeM, Trunk
from torchreid_adv.models.victims import BNNeck


def by_loop(features, pids):
    """Ye et al., eqs. 5 and 6, image by image in float64."""
    total = 0.0
    for i, pid in enumerate(pids):
        distance = [math.dist(features[i], other) for other in features]
        near = [d for d, other in zip(distance, pids, strict=True) if other == pid]
        far = [d for d, other in zip(distance, pids, strict=True) if other != pid]
        positive = sum(d * math.exp(d) for d in near) / sum(math.exp(d) for d in near)
        negative = sum(d * math.exp(-d) for d in far) / sum(math.exp(-d) for d in far)
        total += math.log1p(math.exp(positive - negative))
    return total / len(pids)


def test_the_loss_is_the_loop():
    torch.manual_seed(0)
    features, pids = torch.randn(9, 6, dtype=torch.float64), [0, 0, 0, 1, 1, 1, 2, 2, 3]
    loss = WeightedTripletLoss()(features, torch.tensor(pids))
    assert float(loss) == pytest.approx(by_loop(features.tolist(), pids), rel=1e-6)


def test_large_distances_do_not_overflow_and_equal_images_have_gradients():
    features = 1e3 * torch.randn(6, 4).repeat_interleave(2, 0).requires_grad_()
    loss = WeightedTripletLoss()(features, torch.arange(6).repeat_interleave(2))
    (gradient,) = torch.autograd.grad(loss, features)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_identities_that_mix_cost_more():
    torch.manual_seed(0)
    pids = torch.arange(4).repeat_interleave(4)
    centers = torch.randn(4, 8)[pids]
    loss = WeightedTripletLoss()
    assert loss(5 * centers, pids) < loss(centers + torch.randn(16, 8), pids)
    with pytest.raises(ConfigError, match="one identity alone"):
        loss(centers, torch.zeros(16))


@pytest.fixture
def parts(market):
    with installed():
        data = torchreid_module("data").ImageDataManager(
            root=str(market), sources="market1501", height=32, width=16, batch_size_train=8,
            num_instances=4, train_sampler="RandomIdentitySampler", workers=0, use_gpu=False,
        )  # fmt: skip
        trunk = Trunk((1, 1, 1, 1), width=4, non_local=(0, 1, 0, 0))
        model = BNNeck(trunk, data.num_train_pids, "triplet", pool=GeM())
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        yield data, model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 20)


def engine_of(name, parts):
    data, model, optimizer, scheduler = parts
    kind = getattr(torchreid_module("engine"), name)
    return kind(data, model, optimizer, scheduler=scheduler, use_gpu=False)


def test_torchreid_s_triplet_engine_trains_by_it(parts, tmp_path, capsys):
    cfg = config.add_adv_config(config.CfgNode())
    cfg.adv.loss.triplet = "weighted"
    engine, model = engine_of("ImageTripletEngine", parts), parts[1]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=1, ranks=[1])
    assert type(engine.criterion_t) is WeightedTripletLoss
    assert "loss_t" in capsys.readouterr().out
    after = model.state_dict()
    assert torch.equal(after["neck.bias"], torch.zeros(2048))  # torchreid opens every parameter
    for name in ("pool.p", "trunk.attention.layer2.0.out.1.weight", "classifier.weight"):
        assert not torch.equal(before[name], after[name]), name


def test_an_engine_without_triplets_is_refused(parts):
    cfg = config.add_adv_config(config.CfgNode())
    cfg.adv.loss.triplet = "weighted"
    with pytest.raises(ConfigError, match=r"set loss\.name 'triplet'"):
        adapt_engine(engine_of("ImageSoftmaxEngine", parts), cfg)


def test_without_the_key_the_loss_is_torchreid_s(parts):
    cfg = config.add_adv_config(config.CfgNode())
    engine = adapt_engine(engine_of("ImageTripletEngine", parts), cfg)
    assert type(engine.criterion_t) is torchreid_module("losses").TripletLoss
