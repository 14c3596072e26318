"""Processes that train together: one plan, and the weights of one process."""

import json
import os
import socket
import subprocess
import sys

import pytest
import standins
import torch
from markets import write_market
from torch.utils.data import DataLoader

from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.engines.loaders import planned_loader
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.layout import torchreid_module

ROWS = [(f"{pid}_{number}.jpg", pid, number % 3, 0) for pid in range(6) for number in range(5)]


class Named(torch.utils.data.Dataset):
    """Rows by their names, and a number that is drawn."""

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, row):
        return {"name": ROWS[row][0], "pid": ROWS[row][1], "drawn": torch.rand(1).item()}


def loader_of(sampler, size=12, workers=0):
    build = torchreid_module("data.sampler").build_train_sampler
    order = build(ROWS, sampler, batch_size=size, num_instances=3)
    return DataLoader(Named(), sampler=order, batch_size=size, num_workers=workers, drop_last=True)


def batches(loader, epoch):
    loader.sampler.epoch = epoch
    return [list(zip(b["name"], b["drawn"].tolist(), strict=True)) for b in loader]


@pytest.mark.parametrize("sampler", ["RandomSampler", "RandomIdentitySampler"])
@pytest.mark.parametrize("world", [2, 4])
def test_parts_make_the_batches_of_one_process(sampler, world):
    whole = planned_loader(loader_of(sampler), team=ALONE, seed=3)
    teams = [Team(rank, world, connected=True) for rank in range(world)]
    parts = [planned_loader(loader_of(sampler), team=team, seed=3) for team in teams]
    for epoch in (0, 1):
        wanted = batches(whole, epoch)
        torch.rand(7)  # where the generators stand does not matter
        found = zip(*(batches(part, epoch) for part in parts), strict=True)
        assert [[row for part in own for row in part] for own in found] == wanted
        assert [len(part) for part in parts] == [len(wanted)] * world
    assert batches(whole, 0) != batches(whole, 1)
    assert batches(whole, 0) != batches(planned_loader(loader_of(sampler), team=ALONE, seed=4), 0)


def test_an_identity_stays_in_one_process():
    for rank in range(2):
        team = Team(rank, 2, connected=True)
        loader = planned_loader(loader_of("RandomIdentitySampler"), team=team, seed=0)
        for batch in loader:
            assert len(batch["pid"]) == 6
            assert [len(set(group.tolist())) for group in batch["pid"].split(3)] == [1, 1]


def test_the_plan_leaves_the_generators_alone():
    loader = planned_loader(loader_of("RandomSampler"), team=ALONE, seed=0)
    state = torch.get_rng_state()
    list(loader.sampler)
    loader.dataset[0, 0, 0]
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("world", "sampler"), [(5, "RandomSampler"), (8, "RandomIdentitySampler")])
def test_batches_that_cannot_be_cut_are_refused(world, sampler):
    with pytest.raises(ConfigError, match="multiple of"):
        planned_loader(loader_of(sampler), team=Team(0, world, connected=True), seed=0)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Train in forked processes as torchrun starts them; returns what rank 0 saved and all said."""
    place = tmp_path_factory.mktemp("distributed")
    root = write_market(place / "data", identities=4, cameras=2, images=2, distractors=1)
    modules = os.pathsep.join([str(standins.SCRIPTS), os.environ.get("PYTHONPATH", "")])
    zygote = subprocess.Popen(
        [sys.executable, str(standins.SCRIPTS / "zygote.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": modules},
    )
    assert zygote.stdout.readline() == "ready\n"
    settings = {
        "data.root": root, "model.name": "tiny_net", "adv.plugins": "['tiny_plugin']",
        "data.height": 64, "data.width": 32, "data.workers": 0, "train.batch_size": 8,
        "train.max_epoch": 2, "train.lr": 0.01, "train.optim": "sgd", "use_gpu": False,
        "data.transforms": "['random_flip', 'random_erase']", "test.normalize_feature": True,
        "adv.engine": "adversarial_training", "adv.training.steps": 2, "adv.attack.steps": 1,
    }  # fmt: skip

    def run(name, world, **changed):
        more = {key.replace("__", "."): value for key, value in changed.items()}
        own = {**settings, "data.save_dir": place / name, **more}
        order = {"arguments": ["train", *(str(w) for pair in own.items() for w in pair)]}
        order |= {"processes": processes(world), "log": str(place / f"{name}.txt")}
        zygote.stdin.write(json.dumps(order) + "\n")
        zygote.stdin.flush()
        codes = json.loads(zygote.stdout.readline())
        said = (place / f"{name}.txt").read_text()
        assert codes == [0] * world, said[-3000:]
        return read_checkpoint(place / name / "model" / "model.pth.tar-2")["state_dict"], said

    yield run
    zygote.communicate("end\n", timeout=60)


def processes(world):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]


def apart(one, other):
    return max(float((one[n].double() - other[n].double()).abs().max()) for n in one)


@pytest.mark.parametrize("ratio", [0.5, pytest.param(1.0, marks=pytest.mark.slow)])
def test_two_processes_end_in_the_weights_of_one(training, ratio):
    options = {"model__name": "tiny_double", "adv__training__batchnorm": "frozen"}
    options["adv__training__ratio"] = ratio
    one, _ = training(f"one{ratio}", 1, **options)
    two, said = training(f"two{ratio}", 2, **options)
    assert apart(one, two) < 1e-6
    assert not any(name.startswith("module.") for name in two)
    assert said.count("Checkpoint saved") == 1
    assert said.count("mAP:") == 2
    still, _ = training(f"still{ratio}", 1, **options, train__lr=1e-12)
    assert apart(one, still) > 1e-4


@pytest.mark.slow
def test_triplets_and_offline_training_run_in_two_processes(training, tmp_path):
    triplet = {"loss__name": "triplet", "sampler__train_sampler": "RandomIdentitySampler"}
    weights, _ = training("triplet", 2, **triplet, sampler__num_instances=2)
    assert all(torch.isfinite(value).all() for value in weights.values())
    training("clean", 2, adv__engine="''")
    checkpoint = str(tmp_path / "clean.pth")
    torch.save({"state_dict": training("clean2", 1, adv__engine="''")[0]}, checkpoint)
    offline = {"adv__training__mode": "offline", "adv__training__weights": checkpoint}
    _, said = training("offline", 2, **offline)
    assert "Training on 16 images and 16 adversarial ones" in said
