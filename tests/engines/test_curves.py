"""Training curves: what is held out is not learned from, and its loss is the engine's."""

import json

import pytest
import torch
from markets import write_market
from scripts.tiny_model import Tiny

from torchreid_adv import config
from torchreid_adv.data.images import read_image
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration import adapt_engine
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module


@pytest.fixture
def parts(tmp_path):
    write_market(tmp_path / "data", identities=3, cameras=2, images=2, distractors=1)
    data = torchreid_module("data").ImageDataManager(
        root=str(tmp_path / "data"),
        sources="market1501",
        height=32,
        width=16,
        batch_size_train=3,
        workers=0,
        use_gpu=False,
    )
    torch.manual_seed(0)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 20)
    return data, model, optimizer, scheduler, False


def curved(parts, tmp_path, **settings):
    cfg = config.add_adv_config(config.CfgNode({"data": {"save_dir": str(tmp_path / "out")}}))
    config.set_engine(cfg, "curves")
    kind = settings.pop("kind", "ImageSoftmaxEngine")
    return adapt_engine(getattr(torchreid_module("engine"), kind)(*parts), cfg)


def test_one_image_of_each_identity_is_held_out_and_its_loss_is_the_engines(parts, tmp_path):
    before = {item[0] for item in parts[0].train_loader.dataset.train}
    with installed():
        engine = curved(parts, tmp_path)
        learned = {path for batch in engine.train_loader for path in batch["impath"]}
        engine.run(save_dir=str(tmp_path / "run"), max_epoch=2, ranks=[1])
    held_out = before - {item[0] for item in parts[0].train_loader.dataset.train}
    assert len(before) == 12
    assert len(held_out) == 3
    assert not held_out & learned
    points = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert [point["epoch"] for point in points] == [1, 2]
    model = parts[1].eval()  # scores classes in either mode
    items = [item for item in engine._held_out if item[0] in held_out]
    images = torch.stack([parts[0].transform_te(read_image(item[0])) for item in items])
    pids = torch.tensor([item[1] for item in items])
    with torch.no_grad():
        scores = model(images)
    assert points[1]["held_out_loss"] == pytest.approx(float(engine.criterion(scores, pids)))
    assert points[1]["held_out_error"] == float((scores.argmax(1) != pids).float().mean())


def test_an_engine_without_one_classification_loss_is_refused(parts, tmp_path):
    with pytest.raises(ConfigError, match="softmax"):
        curved(parts, tmp_path, kind="ImageTripletEngine")
