"""``torchreid-adv train --recipe``: a complete training by its name."""

import pytest
import yaml
from pages import ROOT

from torchreid_adv import cli, config
from torchreid_adv.config.examples import recipe_file, recipes
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.engines.start import clean_config, start_clean
from torchreid_adv.errors import ConfigError


def printed(capsys, *words):
    code = cli.main(["train", *words])
    config.forget()
    return code, *capsys.readouterr()


def test_every_recipe_is_a_file_with_a_sentence():
    names = {path.stem for path in (ROOT / "configs" / "recipe").glob("*.yaml")}
    assert set(recipes()) == names >= {"robust", "robust_metric", "robust_market"}
    assert all(len(about) > 20 for about in recipes().values())


def test_a_recipe_is_its_config_file_and_keys_follow_it(capsys):
    code, out, _ = printed(capsys, "--recipe", "robust", "--dry-run", "train.max_epoch", "2")
    shown = yaml.safe_load(out)
    assert code == 0
    assert shown["adv"]["training"]["clean_epochs"] == 12
    assert shown["train"]["max_epoch"] == 2


def test_a_wrong_name_gets_the_nearest_and_the_list(capsys):
    code, _, err = printed(capsys, "--recipe", "robsut")
    assert code == 2
    assert "there is no recipe 'robsut'; did you mean 'robust'?" in err
    assert all(f"  {name}: " in err for name in recipes())


def test_a_recipe_and_a_file_are_refused(capsys):
    code, _, err = printed(capsys, "--recipe", "robust", "--config-file", "x.yaml")
    assert code == 2
    assert "leave --config-file out" in err


@pytest.fixture
def cfg():
    tree = default_config()
    tree.merge_from_file(recipe_file("robust"))
    yield tree
    config.forget()


def test_the_clean_network_is_trained_without_an_attack(cfg):
    clean = clean_config(cfg)
    assert (clean.adv.engine, clean.train.max_epoch, clean.train.lr) == ("", 12, 0.004)
    assert clean.adv.training.clean_epochs == 0
    assert (cfg.train.max_epoch, cfg.train.lr) == (4, 0.001)


def test_training_starts_from_the_clean_network(cfg, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "torchreid_adv.engines.start.trained_weights",
        lambda clean: asked.append(clean) or "clean.pth",
    )
    start_clean(cfg)
    assert (cfg.model.load_weights, cfg.adv.training.weights) == ("clean.pth", "clean.pth")
    assert len(asked) == 1
    with pytest.raises(ConfigError, match=r"model\.load_weights names one"):
        start_clean(cfg)


def test_a_clean_start_is_of_online_training(cfg):
    cfg.adv.training.mode = "offline"
    with pytest.raises(ConfigError, match="mode 'online'"):
        start_clean(cfg)
