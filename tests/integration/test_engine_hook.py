import pytest
import torch

from torchreid_adv import config
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration import adapt_engine, engine, hooks
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import ENGINES, MODELS

Evaluation = ENGINES.get("evaluation")


class Training:
    """A training mixin of the kind that adv.engine names."""

    def adapt(self, cfg):
        self.seen = (*getattr(self, "seen", ()), cfg)

    def forward_backward(self, data):
        return {**super().forward_backward(data), "training_loss": 1.0}


@pytest.fixture
def training():
    ENGINES.register("test_training")(Training)
    yield
    ENGINES.remove("test_training")


@pytest.fixture
def built(hooked, market):
    cfg = config.add_adv_config(config.CfgNode())
    data = torchreid_module("data").ImageDataManager(
        root=str(market),
        sources="market1501",
        height=64,
        width=32,
        batch_size_train=8,
        workers=0,
        use_gpu=False,
    )
    model = MODELS.get("tiny_net")(data.num_train_pids)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 20)
    return cfg, (data, model, optimizer, scheduler, False)


def own_engine(parts):
    class Own(torchreid_module("engine").ImageSoftmaxEngine):
        losses = 0

        def forward_backward(self, data):
            self.losses += 1
            return super().forward_backward(data)

    return Own(*parts)


def test_run_adapts_a_users_engine_and_keeps_its_loss(built, tmp_path, capsys):
    _, parts = built
    own = own_engine(parts)
    kind, before = type(own), engine.adapted_engines()
    own.run(save_dir=str(tmp_path), max_epoch=1, print_freq=1, ranks=[1])
    assert own.losses == 3
    assert type(own).__mro__[1:3] == (Evaluation, kind)
    assert type(own).__name__ == "Own"
    assert engine.adapted_engines() == before + 1
    adapted = type(own)
    own.run(save_dir=str(tmp_path), test_only=True, ranks=[1])
    assert type(own) is adapted
    assert engine.adapted_engines() == before + 1
    assert "mAP:" in capsys.readouterr().out


def test_the_training_mixin_comes_first_and_both_adapt_once(built, training):
    cfg, parts = built
    cfg.adv.engine = "test_training"
    stock = torchreid_module("engine").ImageSoftmaxEngine(*parts)
    kind = type(stock)
    assert adapt_engine(adapt_engine(stock, cfg), cfg) is stock
    assert type(stock).__mro__[1:4] == (Training, Evaluation, kind)
    assert stock.seen == (cfg,)
    assert isinstance(stock, torchreid_module("engine").Engine)
    batch = next(iter(stock.train_loader))
    assert stock.forward_backward(batch)["training_loss"] == 1.0


def test_a_class_that_has_the_mixin_already_stays(built):
    cfg, parts = built
    mixed = type("Mixed", (Evaluation, torchreid_module("engine").ImageSoftmaxEngine), {})
    instance = adapt_engine(mixed(*parts), cfg)
    assert type(instance) is mixed


def test_an_engine_whose_adaptation_fails_is_as_before(built, training, monkeypatch):
    cfg, parts = built
    cfg.adv.engine = "test_training"

    def refuse(self, cfg):
        raise ConfigError("no")

    monkeypatch.setattr(Training, "adapt", refuse)
    stock = torchreid_module("engine").ImageSoftmaxEngine(*parts)
    with pytest.raises(ConfigError, match="no"):
        stock.run(max_epoch=1)
    assert type(stock) is torchreid_module("engine").ImageSoftmaxEngine


def test_unknown_engine_is_refused_before_training(built, tmp_path):
    cfg, parts = built
    cfg.adv.engine = "metric_atack"
    with pytest.raises(ConfigError, match="unknown engine"):
        own_engine(parts).run(save_dir=str(tmp_path), max_epoch=1)


def test_what_was_asked_and_never_happened_is_an_error(built):
    cfg, parts = built
    before = engine.adapted_engines()
    engine.require_adapted(cfg, before)
    cfg.adv.engine = "metric_attack"
    cfg.adv.defense.name = "circuitous_scaling"
    with pytest.raises(ConfigError, match=r"adv\.engine and adv\.defense\.name had no effect"):
        engine.require_adapted(cfg, before)
    cfg.adv.engine = cfg.adv.defense.name = ""
    adapt_engine(own_engine(parts), cfg)
    cfg.adv.engine = "metric_attack"
    engine.require_adapted(cfg, before)


def test_after_uninstall_run_is_torchreids(built, tmp_path):
    _, parts = built
    hooks.uninstall()
    own = own_engine(parts)
    kind = type(own)
    own.run(save_dir=str(tmp_path), test_only=True, ranks=[1])
    assert type(own) is kind
