"""A defense in torchreid's own evaluation and in its FeatureExtractor."""

import copy
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from test_evaluation_mixin import make_engine

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.data.images import read_image
from torchreid_adv.defenses.torchreid_transform import DefendedTransform
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network

NORM = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def defended_config(name, draws=0, **options):
    cfg = config.AdvConfig({"data": {"height": 64, "width": 32}})
    adv.add_adv_config(cfg)
    cfg.adv.defense.name, cfg.adv.defense.draws = name, draws
    cfg.adv.defense.options = config.AdvConfig(options)
    return config.setup(cfg)


def expected(market, engine, name, draws=None, **options):
    """The score of the engine's network behind a defense, by this package's own extraction."""
    network = copy.deepcopy(engine.model).eval()
    model = adv.PixelModel(network, size=(64, 32), **NORM)
    if name.startswith("rrp"):
        options["final"] = [64, 32]
    defended = adv.Defended(adv.build_defense(name, **options), model, draws=draws)
    data = adv.load_dataset("market1501", root=market)
    sides = [adv.extract(defended, data.side(side)) for side in ("query", "gallery")]
    return adv.evaluate(*sides).mAP


@pytest.mark.parametrize(
    ("name", "draws", "options"),
    [
        ("jpeg", 0, {"quality": 5}),
        ("rrp_paper", 0, {"border": 40}),
        ("rrp_xie", 3, {"frame": 1.5}),
    ],
)
def test_an_evaluation_looks_through_the_defense(market, capsys, name, draws, options):
    engine = make_engine(market)
    engine.run(test_only=True)
    without = capsys.readouterr().out
    adv.adapt_engine(engine, defended_config(name, draws, **options))
    engine.run(test_only=True)
    printed = capsys.readouterr().out
    assert f"+ defense {name} of test images" in printed
    found = engine.results["market1501"].mAP
    assert abs(found - expected(market, engine, name, draws or None, **options)) < 1e-6
    assert f"mAP: {found:.1%}" in printed
    assert f"mAP: {found:.1%}" not in without


def test_training_images_stay_undefended_and_a_defense_is_put_once(market):
    first = make_engine(market)
    second = type(first)(first.datamanager, first.model, first.optimizer, first.scheduler, False)
    trained = first.datamanager.train_loader.dataset.transform
    stock = first.datamanager.transform_te
    for engine in (first, second):
        adv.adapt_engine(engine, defended_config("jpeg"))
    data = first.datamanager
    assert data.train_loader.dataset.transform is trained
    assert isinstance(data.transform_te, DefendedTransform)
    assert data.transform_te.stock is stock
    for loaders in data.test_loader.values():
        for loader in loaders.values():
            assert loader.dataset.transform is data.transform_te
    third = type(first)(data, first.model, first.optimizer, first.scheduler, False)
    adv.adapt_engine(third, config.AdvConfig(config.add_adv_config(config.AdvConfig())))
    assert data.transform_te is stock


def test_worker_processes_get_the_defense(market):
    engine = adv.adapt_engine(make_engine(market), defended_config("rrp_xie", 2))
    transform = engine.datamanager.transform_te
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 30, 3), dtype=np.uint8))
    travelled = pickle.loads(pickle.dumps(transform))
    assert travelled(image).shape == (2, 3, 64, 32)
    assert torch.equal(travelled(image), transform(image))


def test_an_evaluation_of_a_users_own_is_defended(market):
    stock = torchreid_module("engine").ImageSoftmaxEngine
    seen = []

    class Own(stock):
        def _evaluate(self, query_loader=None, **keywords):
            images = next(iter(query_loader))["img"]
            seen.append((images, self.extract_features(images)))
            return 0.5, 0.5

    engine = make_engine(market, Own)
    engine.run(test_only=True)
    adv.adapt_engine(engine, defended_config("rrp_xie", 3))
    engine.run(test_only=True)
    (plain, features), (defended, averaged) = seen
    assert defended.shape == (len(plain), 3, *plain.shape[1:])
    assert averaged.shape == features.shape
    each = torch.stack([engine.model(draw) for draw in defended.unbind(1)])
    assert torch.allclose(averaged, each.mean(0))


def test_tracklets_are_not_averaged(market):
    engine = make_engine(market)
    engine.datamanager.data_type = "video"
    with pytest.raises(ConfigError, match="tracklets"):
        adv.adapt_engine(engine, defended_config("rrp_xie", 2))


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(3)
    torch.save({"state_dict": build_network("osnet_x0_25").state_dict()}, tmp_path / "w.pth")
    return str(tmp_path / "w.pth")


@pytest.mark.parametrize(("name", "draws"), [("jpeg", None), ("rrp_xie", 2)])
def test_the_feature_extractor_looks_through_the_defense(market, weights, name, draws):
    files = [str(r.path) for r in adv.load_dataset("market1501", root=market).query[:3]]
    build = {"image_size": (64, 32), "device": "cpu", "verbose": False}
    defended_config(name, draws or 0)
    with adv.installed():
        extractor = torchreid_module("utils").FeatureExtractor("osnet_x0_25", weights, **build)
        found = extractor(files)
        arrays = extractor([np.array(read_image(file)) for file in files])
        with pytest.raises(ConfigError, match="pass file names or arrays"):
            extractor(torch.rand(1, 3, 64, 32))
    options = {"final": [64, 32]} if name == "rrp_xie" else {}
    model = adv.load_model("osnet_x0_25", weights, size=(64, 32), device="cpu")
    defended = adv.Defended(adv.build_defense(name, **options), model, draws=draws)
    transform = defended.file_transform()
    with torch.no_grad():
        wanted = defended.of_files([transform(read_image(file)) for file in files])
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.equal(found, arrays)


def test_the_feature_extractor_is_torchreids_without_a_defense(weights):
    build = {"image_size": (64, 32), "device": "cpu", "verbose": False}
    with adv.installed():
        extractor = torchreid_module("utils").FeatureExtractor("osnet_x0_25", weights, **build)
        assert extractor(torch.rand(2, 3, 64, 32)).shape == (2, 512)
