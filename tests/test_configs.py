"""Every file in configs/ builds what it names, and every registered name has a file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from markets import write_market

from torchreid_adv import config, registry
from torchreid_adv.attacks import configured_attack
from torchreid_adv.attacks.build import metric_of
from torchreid_adv.attacks.learned.generator import GeneratedNoise, save_generator
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.defenses import configured_defense
from torchreid_adv.engines.train import build_data, build_engine
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.specs import parse_models
from torchreid_adv.runs.attack_dataset import configured_job
from torchreid_adv.runs.torchreid_checks import check

CONFIGS = Path(__file__).parents[1] / "configs"
SLOW = {"ibn_resnet101", "pcb_resnet50", "sb_resnet50", "ide_resnet50"}  # as agw_resnet50
RAW = {"ide_resnet50", "pcb_resnet50", "agw_resnet50"}  # of a paper that ranks features as they are
FILES = sorted(CONFIGS.rglob("*.yaml"))


def load(path):
    cfg = default_config()
    cfg.merge_from_file(str(path))
    check(cfg)
    return cfg


@pytest.fixture
def named_files(tmp_path, monkeypatch):
    """A folder to run in that holds what configs name: a matrix and learned attacks."""
    np.save(tmp_path / "metric.npy", np.eye(512))
    save_universal(tmp_path / "universal.safetensors", UniversalPerturbation(8 / 255))
    save_generator(tmp_path / "generator.safetensors", GeneratedNoise(8 / 255, filters=1, blocks=0))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_config_builds_what_it_names(path, named_files):
    cfg = load(path)
    with installed():
        config.setup(cfg)
        job = configured_job(cfg)
        assert job.distance.name == cfg.test.dist_metric
        metric = metric_of(job.attack)  # an attack on class scores has none
        assert metric is None or metric.name == (cfg.adv.attack.metric or cfg.test.dist_metric)
        train, _ = torchreid_module("data.transforms").build_transforms(
            cfg.data.height, cfg.data.width, list(cfg.data.transforms)
        )
        kinds = {type(transform) for transform in train.transforms}
        for name in cfg.data.transforms:
            if name in registry.TRANSFORMS:
                assert registry.TRANSFORMS.get(name) in kinds
        factory = vars(torchreid_module("models"))["__model_factory"]
        datasets = vars(torchreid_module("data.datasets"))[f"__{cfg.data.type}_datasets"]
        assert cfg.model.name in factory
        assert {*cfg.data.sources, *cfg.data.targets} <= set(datasets)
        if cfg.adv.defense.name:
            assert isinstance(configured_defense(cfg), registry.DEFENSES.get(cfg.adv.defense.name))
        if cfg.adv.engine:
            assert registry.ENGINES.get(cfg.adv.engine)
    assert configured_attack(cfg).name == cfg.adv.attack.name


def test_every_registered_name_has_a_config():
    configs = [load(path) for path in FILES]
    used = {
        "attack": {cfg.adv.attack.name for cfg in configs},
        "corruption": {name for cfg in configs for name in cfg.adv.corruption.kinds},
        "transform": {name for cfg in configs for name in cfg.data.transforms},
        "data set": {n for cfg in configs for n in (*cfg.data.sources, *cfg.data.targets)},
        "model": {cfg.model.name for cfg in configs},
        "sampler": {cfg.sampler.train_sampler for cfg in configs},
        "defense": {cfg.adv.defense.name for cfg in configs},
        "engine": {cfg.adv.engine for cfg in configs},
        "training method": {cfg.adv.training.method for cfg in configs},
        "format": {spec.name for cfg in configs for spec in parse_models(cfg.adv.attack.models)},
        "distance": {m for cfg in configs for m in (cfg.test.dist_metric, cfg.adv.attack.metric)},
    }
    for table in registry.TABLES.values():
        ours = {
            name
            for name in table
            if not table.facts(name).get("internal")
            and table.get(name).__module__.startswith("torchreid_adv.")
        }
        if table.kind in used:
            assert ours <= used[table.kind], table.kind


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """A market with as many identities as a batch of the identity sampler holds."""
    return write_market(
        tmp_path_factory.mktemp("configs"), identities=8, cameras=2, images=2, distractors=1
    )


RECIPES = [
    pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else (), id=path.stem)
    for folder in ("train", "recipe")
    for path in sorted((CONFIGS / folder).glob("*.yaml"))
]


@pytest.mark.parametrize("path", RECIPES)
def test_a_recipe_builds_what_torchreid_trains(path, data_root):
    cfg = load(path)
    cfg.data.root, cfg.data.workers, cfg.use_gpu = str(data_root), 0, False
    cfg.train.batch_size = min(cfg.train.batch_size, 32)
    small = ["train_identities", 8, "test_identities", 2, "images_per_camera", 2, "distractors", 0]
    cfg.merge_from_list([f"adv.virtual.{v}" if n % 2 == 0 else v for n, v in enumerate(small)])
    with config.using(cfg), installed():
        config.setup(cfg)
        data = build_data(cfg)
        model = torchreid_module("models").build_model(
            cfg.model.name, data.num_train_pids, loss=cfg.loss.name, pretrained=False, use_gpu=False
        )
        engine = build_engine(cfg, data, model, None, None)
    assert type(engine).__name__ == f"Image{cfg.loss.name.title()}Engine"
    assert data.num_train_pids == 8
    assert next(iter(data.train_loader))["img"].shape == (32, 3, cfg.data.height, cfg.data.width)
    with torch.no_grad():
        features = model.eval()(torch.zeros(1, 3, cfg.data.height, cfg.data.width))
    assert features.ndim == 2
    if cfg.train.staged_lr:
        assert {*cfg.train.new_layers} <= {name for name, _ in model.named_children()}
    assert cfg.test.normalize_feature is (path.stem not in RAW)
