"""What a training refuses before its first batch, and what it leaves when its end goes wrong."""

import hashlib

import numpy as np
import pytest
import torch
from markets import write_market

from torchreid_adv import cli, config
from torchreid_adv.cli.command import make_parser, merged_config
from torchreid_adv.engines.evaluation import EvaluationMixin
from torchreid_adv.engines.train import train
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.models import INPUT_SIZES, check_size
from torchreid_adv.integration.samplers import check_equal_shares
from torchreid_adv.models.cuda import on_configured_threads


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def plugin(monkeypatch):
    from scripts import tiny_model  # noqa: F401 (registers the networks)

    yield
    config.forget()


def run(root, out, *pairs):
    words = [
        *("-s", "market1501", "-t", "market1501", "--root", str(root)),
        *("model.name", "tiny_classifier", "model.pretrained", "False", "data.height", "32"),
        *("data.width", "16", "data.workers", "0", "train.batch_size", "8", "train.max_epoch", "2"),
        *("data.save_dir", str(out), *map(str, pairs)),
    ]
    return train(merged_config(make_parser("x").parse_args(words)))


def files(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("model.pth*")}


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    from scripts import tiny_model  # noqa: F401

    out = tmp_path_factory.mktemp("trained") / "out"
    run(data, out, "test.eval_freq", 1)
    return out


ANOTHER = [
    (("train.optim", "sgd"), {}, "the optimizer in .* is not this run's: its options are"),
    (("train.optim", "amsgrad"), {}, "amsgrad is False there and True here"),
    (("train.optim", "rmsprop"), {}, "the optimizer in"),
    (("train.optim", "radam"), {}, "the optimizer in"),
    (("train.staged_lr", "True"), {}, "it moves groups of"),
    (("train.lr_scheduler", "cosine"), {}, "the scheduler in .* its settings are"),
    (("train.lr_scheduler", "multi_step"), {}, "the scheduler in"),
    (("train.max_epoch", "1"), {}, "nothing is left to train: 1 epochs are done"),
    (("train.max_epoch", "2"), {"epoch": 2}, "nothing is left to train: 2 epochs are done"),
    ((), {"epoch": None}, "it has no epoch"),
    ((), {"epoch": True}, "it has no epoch"),
    ((), {"optimizer": None}, "holds no optimizer"),
    ((), {"scheduler": None}, "holds no scheduler"),
    ((), {"optimizer": {"state": {}}}, "the optimizer in"),
    ((), {"optimizer": [1]}, "the optimizer in"),
    ((), {"state_dict": {"conv.weight": torch.zeros(1)}}, "are not this model's"),
]


@pytest.mark.parametrize(("pairs", "changed", "sentence"), ANOTHER)
@pytest.mark.parametrize("engine", ["", "adversarial_training"])
def test_what_cannot_go_on_is_refused_before_anything_is_written(
    data, trained, tmp_path, pairs, changed, sentence, engine
):
    content = {**read_checkpoint(trained / "model" / "model.pth.tar-1"), **changed}
    torch.save({k: v for k, v in content.items() if v is not None}, tmp_path / "from.pth")
    out = tmp_path / "out"
    more = ("adv.engine", engine) if engine else ()
    with pytest.raises(ConfigError, match=sentence):
        run(data, out, "model.resume", tmp_path / "from.pth", *pairs, *more)
    assert not out.exists()


def test_another_number_of_identities_is_refused(trained, tmp_path):
    other = write_market(tmp_path / "other", identities=5)
    with pytest.raises(ConfigError, match=r"trained on other data: its classifier"):
        run(other, tmp_path / "out", "model.resume", trained / "model" / "model.pth.tar-1")
    assert not (tmp_path / "out").exists()


def test_a_finished_run_keeps_its_checkpoints(data, trained):
    before = files(trained)
    assert set(before) == {"model.pth.tar-1", "model.pth.tar-2"}
    with pytest.raises(ConfigError, match="nothing is left to train"):
        run(data, trained, "model.resume", trained / "model" / "model.pth.tar-2")
    with pytest.raises(ConfigError, match="nothing is left to train"):
        run(data, trained, "train.start_epoch", 2)
    assert files(trained) == before


def test_other_values_go_on_with_a_warning(data, trained, tmp_path):
    path = trained / "model" / "model.pth.tar-1"
    with pytest.warns(UserWarning, match=r"with the optimizer of the checkpoint: .*initial_lr"):
        run(data, tmp_path / "out", "model.resume", path, "train.lr", 0.1)
    assert set(files(tmp_path / "out")) == {"model.pth.tar-2"}


SPLITS = {
    "one camera": ([(11, 1)], [(11, 1), (12, 1)], "all query and gallery images have one camera"),
    "nobody shared": ([(11, 1)], [(12, 1), (12, 2)], "do not appear in the gallery"),
    "own camera only": ([(11, 1), (12, 2)], [(11, 1), (12, 2)], "under another camera"),
}


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("engine", ["", "adversarial_training"])
def test_a_test_that_cannot_be_made_is_said_before_training(data, tmp_path, kind, engine):
    query, gallery, sentence = SPLITS[kind]
    root = write_market(tmp_path / "data")
    base = root / "market1501" / "Market-1501-v15.09.15"
    image = next((base / "query").iterdir()).read_bytes()
    for folder, rows in (("query", query), ("bounding_box_test", gallery)):
        for path in (base / folder).iterdir():
            path.unlink()
        for number, (pid, camid) in enumerate(rows):
            name = f"{pid:04d}_c{camid}s1_{number:06d}_00.jpg"
            (base / folder / name).write_bytes(image)
    more = ("adv.engine", engine) if engine else ()
    with pytest.raises(DataError, match=f"cannot be made, so nothing was trained: .*{sentence}"):
        run(root, tmp_path / "out", *more)
    assert not files(tmp_path / "out")


@pytest.mark.parametrize("engine", ["", "adversarial_training"])
def test_a_checkpoint_is_saved_before_each_test(data, tmp_path, monkeypatch, engine):
    seen = []

    def fails(self, *args, **keywords):
        seen.append(files(tmp_path / "out"))
        raise RuntimeError("the test went wrong")

    monkeypatch.setattr(EvaluationMixin, "_evaluate", fails)
    more = ("adv.engine", engine) if engine else ()
    with pytest.raises(RuntimeError, match="went wrong"):
        run(data, tmp_path / "out", "test.eval_freq", 1, *more)
    assert [set(names) for names in seen] == [{"model.pth.tar-1"}]
    content = read_checkpoint(tmp_path / "out" / "model" / "model.pth.tar-1")
    assert content["epoch"] == 1
    assert ("adv_random" in content) == bool(engine)
    monkeypatch.undo()
    run(
        data, tmp_path / "on", "model.resume", tmp_path / "out" / "model" / "model.pth.tar-1", *more
    )
    assert set(files(tmp_path / "on")) == {"model.pth.tar-2"}


def test_fewer_images_or_identities_than_a_batch(data, tmp_path):
    with pytest.raises(ConfigError, match="fewer than the 64 of a batch"):
        run(data, tmp_path / "out", "train.batch_size", 64)
    sampler = ("sampler.train_sampler", "randomidentitysampler", "sampler.num_instances", 2)
    with pytest.raises(ConfigError, match="a batch takes 8 identities, and a training set has 4"):
        run(data, tmp_path / "out", "train.batch_size", 16, *sampler)
    domains = ("sampler.train_sampler", "RandomDomainSampler", "sampler.num_cams", 4)
    with pytest.raises(
        ConfigError, match="4 cameras into a batch of 8, and the training set has 3"
    ):
        run(data, tmp_path / "out", *domains)
    assert not (tmp_path / "out").exists()
    rows = [("", 0, camid, 0) for camid in (0, 0, 0, 1)]
    with pytest.raises(ConfigError, match="one of the 2 cameras has 1"):
        check_equal_shares("RandomDomainSampler", rows, 4, 2)


@pytest.mark.parametrize("name", INPUT_SIZES)
def test_a_network_of_one_size_says_which(name, capsys):
    height, width = INPUT_SIZES[name]
    check_size(name.upper(), (height, width))
    code = cli.main(["train", "--dry-run", "model.name", name, "data.height", "32"])
    assert code == 2
    assert f"takes images of {height}x{width} pixels" in capsys.readouterr().err


def test_nothing_is_left_changed(data, tmp_path):
    np.random.seed(3)
    torch.manual_seed(3)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    flags = torch.backends.cudnn.benchmark, torch.get_default_dtype(), torch.get_num_threads()
    run(data, tmp_path / "out", "train.max_epoch", 1)
    assert np.array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.get_rng_state(), states[1])
    assert flags == (
        torch.backends.cudnn.benchmark, torch.get_default_dtype(), torch.get_num_threads()
    )  # fmt: skip


def test_threads_are_put_back():
    cfg = config.add_adv_config(config.AdvConfig())
    before = torch.get_num_threads()

    @on_configured_threads
    def work(cfg, fail=False):
        if fail:
            raise ConfigError("no")
        return torch.get_num_threads()

    cfg.adv.job.threads = before + 1
    assert work(cfg) == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError):
        work(cfg, fail=True)
    assert torch.get_num_threads() == before
    cfg.adv.job.threads = 0
    assert work(cfg) == before
