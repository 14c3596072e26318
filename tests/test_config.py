import math

import pytest
from yacs.config import CfgNode

from torchreid_adv import config
from torchreid_adv.attacks import configured_attack
from torchreid_adv.config.keys import KEYS
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.errors import ConfigError


@pytest.fixture
def cfg():
    tree = default_config()
    yield tree
    config.forget()


def test_add_adv_config_keeps_the_tree_and_adds_ours():
    tree = CfgNode({"train": {"lr": 0.1}})
    added = config.add_adv_config(tree)
    assert added is tree
    assert isinstance(tree.train, config.AdvConfig)
    assert tree.adv.attack.eps == 5.0
    assert config.current() is tree
    assert config.add_adv_config(tree).adv is tree.adv
    config.forget()


def test_an_int_is_taken_for_a_float_and_a_word_for_a_list(cfg):
    cfg.merge_from_list(["adv.attack.eps", "8", "train.lr", "1", "data.sources", "market1501"])
    assert cfg.adv.attack.eps == 8.0
    assert isinstance(cfg.adv.attack.eps, float)
    assert cfg.train.lr == 1.0
    assert cfg.data.sources == ["market1501"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["adv.attack.epz", "3"], "did you mean 'adv.attack.eps'"),
        (["dta.root", "x"], "did you mean 'data'"),
        (["adv.attack.eps", "8/255"], "write 8, not 8/255"),
        (["adv.attack.eps", "[1]"], "takes a float"),
        (["adv.attack.steps", "1.5"], "takes an int"),
        (["train.max_epoch", "2.5"], "takes an int"),
        (["adv.attack.targeted", "1"], "takes a bool"),
        (["adv.attack.eps"], "has no value"),
        (["adv.attack", "3"], "section of keys"),
    ],
)
def test_wrong_pairs_say_what_is_wrong(cfg, options, sentence):
    with pytest.raises(ConfigError, match=sentence.replace("[", r"\[")):
        cfg.merge_from_list(options)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("adv.attack.eps", 8 / 255, "gray levels of 255; for 0.03137 of .0, 1. write 8"),
        ("adv.attack.eps", 300.0, r"must be in \[0, 255\]"),
        ("adv.attack.eps", -1.0, r"must be in \[0, 255\]"),
        ("adv.attack.eps", math.nan, r"must be in \[0, 255\]"),
        ("adv.attack.step_size", 0.5, "write 127"),
        ("adv.attack.steps", 0, "must be in"),
        ("adv.attack.side", "galery", "one of 'gallery', 'query'"),
        ("adv.attack.precision", "fp16", "one of"),
        ("adv.attack.name", "ifgms", "did you mean 'ifgsm'"),
        ("adv.attack.metric", "euclid", "did you mean 'euclidean'"),
        ("adv.engine", "metric_atack", "did you mean 'metric_attack'"),
        ("adv.defense.name", "nothing_like_it", "unknown defense"),
        ("test.dist_metric", "cosin", "did you mean 'cosine'"),
        ("adv.evaluation.ap_rule", "x", "one of"),
        ("adv.job.chunk", 0, "must be in"),
        ("adv.plugins", ["no_such_module_anywhere"], "cannot be imported"),
    ],
)
def test_setup_names_what_is_wrong(cfg, key, value, sentence):
    cfg.merge_from_list([key, value])
    with pytest.raises(ConfigError, match=sentence):
        config.setup(cfg)


def test_options_are_checked_against_the_constructor(cfg):
    cfg.merge_from_list(["adv.attack.options.roundin", "ceil"])
    with pytest.raises(ConfigError, match="did you mean 'rounding'"):
        config.setup(cfg)


@pytest.mark.parametrize("option", ["eps", "seed", "targeted", "distance"])
def test_options_cannot_stand_for_keys(cfg, option):
    cfg.merge_from_list([f"adv.attack.options.{option}", "1"])
    with pytest.raises(ConfigError, match=rf"adv\.attack\.options\.{option} stands for"):
        config.setup(cfg)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lta": {"legcay": True}}, "attack 'lta' takes no option 'legcay'; did you mean 'legacy'"),
        ({"sma": {"legacy": True}}, "attack 'sma' takes no option 'legacy'"),
        ({"fgsm": {"momentum": 1.0}}, "attack 'fgsm' takes no option 'momentum'"),
        ({"lta": {"eps": 3.0}}, "adv.attack.options.lta.eps cannot differ between attacks"),
        ({"lta": {"distance": "cosine"}}, "set adv.attack.metric"),
        ({"lta": {"steps": 0}}, r"'adv.attack.options.lta.steps' must be in \[1, 100000\]"),
        ({"lta": {"steps": 1.5}}, "'adv.attack.options.lta.steps' is a whole number"),
        ({"lta": {"step_size": 0.01}}, "is in gray levels of 255"),
        ({"lta": {"momentum": "much"}}, "'adv.attack.options.lta.momentum' is a number"),
        ({"legacy": True}, "attack 'ifgsm' takes no option 'legacy'"),
    ],
)
def test_options_of_one_attack_are_checked_against_that_one(cfg, options, sentence):
    cfg.merge_from_list(["adv.attack.options", options])
    with pytest.raises(ConfigError, match=sentence):
        config.setup(cfg)


def test_options_reach_the_attack_that_they_are_named_for(cfg):
    options = {"LTA": {"legacy": True, "momentum": 0.0, "steps": 3, "step_size": 2.0}}
    cfg.merge_from_list(["adv.attack.options", options, "adv.attack.steps", 15])
    config.setup(cfg)
    found = {}
    for name in ("sma", "lta", "lta_minus"):
        cfg.adv.attack.name = name
        found[name] = configured_attack(cfg)
    assert [found[name].describe()["steps"] for name in found] == [15, 3, 15]
    assert found["lta"].describe()["step_size"] == 2.0
    patches = {name: found[name].objective.transform.boxes for name in ("lta", "lta_minus")}
    assert [patches[name].legacy for name in patches] == [True, False]


@pytest.mark.parametrize(
    ("name", "chosen", "sentence"),
    [
        ("circuitous_scaling", {"preset": "jat"}, "did you mean 'jad'"),
        ("circuitous_scaling", {"options": {"mode": "box"}}, "mode is one of"),
        ("circuitous_scaling", {"options": {"sizes": [[-110, 50]]}}, "height, width"),
        ("circuitous_scaling", {"options": {"presets": "A"}}, "did you mean 'preset'"),
        ("circuitous_scaling", {"options": {"preset": "A"}, "preset": "B"}, "stands for"),
        ("circuitous_scaling", {"draws": -1}, "must be in"),
        ("jpeg", {"preset": "jad"}, "has no presets"),
        ("jpeg", {"options": {"quality": 200}}, "1 to 95"),
        ("", {"preset": "jad"}, "name one with adv.defense.name"),
        ("", {"draws": 3}, "name one with adv.defense.name"),
    ],
)
def test_a_defense_that_cannot_be_is_refused(cfg, name, chosen, sentence):
    cfg.merge_from_other_cfg(config.AdvConfig({"adv": {"defense": {"name": name, **chosen}}}))
    with pytest.raises(ConfigError, match=sentence):
        config.setup(cfg)


def test_a_defense_ends_at_the_size_of_the_network(cfg):
    cfg.data = config.AdvConfig({"height": 64, "width": 32})
    cfg.adv.defense.name = "circuitous_scaling"
    assert config.defense_options(cfg) == {"final": [64, 32]}
    cfg.adv.defense.options = config.AdvConfig({"final": [128, 64]})
    assert config.defense_options(cfg) == {"final": [128, 64]}


def test_transform_options_are_checked(cfg):
    cfg.merge_from_list(["adv.transforms.lgt.p", "0.5"])
    config.setup(cfg)
    cfg.merge_from_list(["adv.transforms.lgt.q", "0.5"])
    with pytest.raises(ConfigError, match="takes no option 'q'"):
        config.setup(cfg)


def test_setup_runs_once_until_something_is_merged(cfg, monkeypatch):
    calls = []
    monkeypatch.setattr(config, "check_names", lambda tree: calls.append(1))
    config.ensure_setup()
    config.ensure_setup()
    assert len(calls) == 1
    cfg.merge_from_list(["adv.attack.eps", "8"])
    config.ensure_setup()
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.yaml", "adv: {attack: {eps: 8}}", None),
        ("a.py", "cfg = 1", "config files are YAML"),
        ("a.yaml", "adv: [", "not valid YAML"),
        ("a.yaml", "- a", "mappings"),
        ("a.yaml", "", "mappings"),
        ("a.yaml", "1: 2", "mappings"),
        ("a.yaml", "adv: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a.yaml", "adv: {atack: {eps: 8}}", "did you mean 'adv.attack'"),
        ("a.yaml", "adv: 3", "section of keys"),
        ("a.yaml", "#" * 1_000_001, "larger than"),
    ],
)
def test_files(cfg, tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_text(content)
    if sentence is None:
        cfg.merge_from_file(str(path))
        assert cfg.adv.attack.eps == 8.0
    else:
        with pytest.raises(ConfigError, match=sentence):
            cfg.merge_from_file(str(path))


def test_a_missing_file_is_named(cfg, tmp_path):
    with pytest.raises(ConfigError, match="cannot read config file"):
        cfg.merge_from_file(str(tmp_path / "none.yaml"))


def test_every_key_is_documented_and_its_default_is_allowed(cfg):
    for key in KEYS:
        assert key.meaning, key.name
        assert config.lookup(cfg, f"adv.{key.name}", self_missing := object()) is not self_missing
        assert not key.check(key.default), key.name
    config.setup(cfg)


def test_gray_levels_are_written_in_both_units(cfg):
    assert "    eps: 5.0  # gray levels = 0.019608 of [0, 1]\n" in config.as_file(cfg)


def test_using_is_for_a_block(cfg):
    other = cfg.clone()
    with config.using(other):
        assert config.current() is other
    assert config.current() is cfg
