"""Our own training script: torchreid's flags, config, log and folders."""

import inspect
import sys

import pytest
import standins
import torch

from torchreid_adv.cli import command
from torchreid_adv.cli.train import TRAIN
from torchreid_adv.config import torchreid_keys
from torchreid_adv.engines.train import train, weights_path
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration import hooks
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import COMMANDS

SIZE = ["data.height", "64", "data.width", "32", "train.batch_size", "8", "data.workers", "0"]


TRIPLET = ["loss.name", "triplet", "sampler.train_sampler", "RandomIdentitySampler"]


@pytest.fixture
def settings(market, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(standins.SCRIPTS))
    pairs = {
        "model.name": "tiny_net",
        "adv.plugins": "['tiny_plugin']",
        "data.save_dir": str(tmp_path / "log"),
        "train.max_epoch": "1",
        "use_gpu": "False",
    }
    return ["--root", str(market), *SIZE, *(word for pair in pairs.items() for word in pair)]


def test_train_then_test(settings, tmp_path, capsys):
    streams = sys.stdout, sys.stderr
    assert COMMANDS.get("train")(settings) == 0
    assert (sys.stdout, sys.stderr) == streams
    assert not hooks.is_installed()
    trained = capsys.readouterr().out
    steps = ["Show configuration", "** System info **", "Building model: tiny_net"]
    steps += ["Model complexity: params=", "Building softmax-engine for image-reid"]
    steps += ["=> Start training", "mAP: ", "Rank-1  : ", "Checkpoint saved"]
    places = [trained.index(step) for step in steps]
    assert places == sorted(places)
    weights = tmp_path / "log" / "model" / "model.pth.tar-1"
    assert read_checkpoint(weights)["epoch"] == 1
    assert TRAIN([*settings, "model.load_weights", str(weights), "test.evaluate", "True"]) == 0
    tested = capsys.readouterr().out
    assert tested[tested.index("mAP") :] in trained
    assert len(list((tmp_path / "log").glob("train.log-*"))) == 1
    assert len(list((tmp_path / "log").glob("test.log-*"))) == 1


def test_train_from_python_returns_the_engine(settings):
    cfg = command.merged_config(command.make_parser("test").parse_args(settings))
    cfg.loss.name = "triplet"
    cfg.loss.triplet.weight_x = 1.0
    cfg.sampler.train_sampler = "RandomIdentitySampler"
    engine = train(cfg)
    saved = read_checkpoint(weights_path(cfg))["state_dict"]
    state = engine.model.state_dict()
    assert all(torch.equal(saved[name], state[name]) for name in saved)
    assert type(engine).__name__ == "ImageTripletEngine"


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["data.type", "images"], "'data.type' must be one of"),
        (["loss.name", "softmx"], "'loss.name' must be one of"),
        (["loss.name", "triplet", "train.fixbase_epoch", "5"], "fixbase_epoch"),
        (["train.max_epohc", "5"], "did you mean 'train.max_epoch'"),
        (["model.load_weights", "missing.pth"], "there is no such file"),
        (["model.resume", "missing.pth"], "there is no such file"),
        (["train.max_epoch"], "has no value"),
    ],
)
def test_bad_configs_are_refused_before_data_is_read(pairs, words):
    with pytest.raises(ConfigError, match=words):
        TRAIN(["--root", "there-is-no-such-folder", *pairs])


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["train.batch_size", "64"], "holds 24 training images .* fewer than the 64 of a batch"),
        (
            ["sampler.train_sampler", "RandomIdentitySampler", "train.batch_size", "40"],
            "takes 10 i",
        ),
        (
            [*TRIPLET, "train.batch_size", "6"],  # num_instances 4
            "one identity has no negatives",
        ),
    ],
)
def test_batches_that_cannot_be_filled_are_refused(settings, pairs, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        TRAIN([*settings, *pairs])
    assert not (tmp_path / "log" / "model").exists()


def test_what_torchreid_asserts_without_a_word_is_told(settings):
    pairs = ["sampler.train_sampler", "RandomDomainSampler", "sampler.num_cams", "3"]
    with pytest.raises(
        ConfigError, match=r"of 3 cameras into a batch of \d+, and the training set"
    ):
        TRAIN([*settings, *pairs])


def test_a_config_file_comes_before_flags_and_pairs(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("data:\n  sources: ['msmt17']\n  root: 'there'\ntrain:\n  lr: 1\n")
    flags = ["--config-file", str(path), "-s", "a", "b", "--root", "here", "train.max_epoch", "7"]
    cfg = command.merged_config(command.make_parser("test").parse_args(flags))
    assert cfg.data.sources == ["a", "b"]
    assert cfg.data.targets == ["market1501"]
    assert (cfg.data.root, cfg.train.lr, cfg.train.max_epoch) == ("here", 1.0, 7)
    assert cfg.use_gpu == torch.cuda.is_available()


def test_every_keyword_names_a_key_and_is_one_of_torchreids():
    cfg = torchreid_keys.default_config()
    data, engines, optim = (torchreid_module(name) for name in ("data", "engine", "optim"))
    for table, taker in (
        (torchreid_keys.IMAGE_DATA, data.ImageDataManager),
        (torchreid_keys.VIDEO_DATA, data.VideoDataManager),
        (torchreid_keys.OPTIMIZER, optim.build_optimizer),
        (torchreid_keys.SCHEDULER, optim.build_lr_scheduler),
        (torchreid_keys.SOFTMAX, engines.VideoSoftmaxEngine),
        (torchreid_keys.TRIPLET, engines.VideoTripletEngine),
        (torchreid_keys.RUN, engines.Engine.run),
    ):
        assert set(table) <= set(inspect.signature(taker).parameters)
        assert None not in torchreid_keys.keywords(cfg, table).values()


def test_defaults_are_not_shared_between_configs():
    torchreid_keys.default_config().data.sources.append("msmt17")
    assert torchreid_keys.default_config().data.sources == ["market1501"]


@pytest.mark.parametrize("flag", ["-s", "-t", "--transforms"])
def test_a_flag_of_many_values_leaves_the_pairs_alone(flag):
    arguments = [flag, "one", "two", "train.max_epoch", "1", "data.save_dir", "a.b/c"]
    cfg = command.merged_config(command.make_parser("x").parse_args(arguments))
    name = {"-s": "sources", "-t": "targets", "--transforms": "transforms"}[flag]
    assert cfg.data[name] == ["one", "two"]
    assert cfg.train.max_epoch == 1
    assert cfg.data.save_dir == "a.b/c"


def test_missing_data_is_a_sentence_and_nothing_is_fetched(tmp_path):
    root = tmp_path / "nowhere"
    arguments = ["--root", str(root), *SIZE, "data.save_dir", str(tmp_path / "log")]
    with pytest.raises(DataError, match="is missing; put it there"):
        TRAIN(arguments)
    assert not root.exists()
