import copy
import functools
import os
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from torchreid_adv import config
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration import checkpoints
from torchreid_adv.integration.checkpoints import load_weights, match_weights, read_checkpoint
from torchreid_adv.integration.layout import torchreid_module


@functools.cache
def built(classes: int, name: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    build = torchreid_module("models").build_model
    return build(name, classes, pretrained=False, use_gpu=False).eval()


def osnet(classes: int = 5, name: str = "osnet_x0_25", seed: int = 0) -> nn.Module:
    return copy.deepcopy(built(classes, name, seed))


def save_as_torchreid(model: nn.Module, folder, **more) -> str:
    """Save as Engine.save_model does, rank1 a numpy float32 as evaluate_rank returns it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 20)
    state = {
        "state_dict": model.state_dict(),
        "epoch": 3,
        "rank1": np.float32(0.5),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        **more,
    }
    torchreid_module("utils").save_checkpoint(state, str(folder))
    return str(folder / "model.pth.tar-3")


def equal(a: nn.Module, b: nn.Module, *, heads: bool = True) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    names = [n for n in ours if heads or not n.startswith("classifier")]
    return all(torch.equal(ours[n], theirs[n]) for n in names)


def test_what_torchreid_writes_is_read_back(tmp_path):
    path = save_as_torchreid(osnet(), tmp_path)
    known = set(torch.serialization.get_safe_globals())
    checkpoint = read_checkpoint(path)
    assert checkpoint["rank1"] == 0.5
    assert checkpoint["epoch"] == 3
    assert set(torch.serialization.get_safe_globals()) == known


def test_the_allow_list_of_the_user_stays(tmp_path):
    path = save_as_torchreid(osnet(), tmp_path)
    with torch.serialization.safe_globals([np.dtype]):
        read_checkpoint(path)
        assert np.dtype in torch.serialization.get_safe_globals()


def test_scalars_of_both_numpy_names_are_read(tmp_path):
    path = tmp_path / "legacy.pth"
    torch.save({"rank1": np.float32(0.25)}, path, _use_new_zipfile_serialization=False)
    blob = path.read_bytes()
    names = (b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert sum(name in blob for name in names) == 1
    for old, new in (names, names[::-1]):
        path.write_bytes(blob.replace(old, new))
        assert read_checkpoint(path)["rank1"] == 0.25


class Hostile:
    def __init__(self, trap):
        self.trap = str(trap)

    def __reduce__(self):
        return os.mkdir, (self.trap,)


def test_hostile_pickle_is_refused_and_not_executed(hooked, tmp_path):
    trap = tmp_path / "trap"
    for name, zipped in (("zip.pth", True), ("legacy.pth", False)):
        path = tmp_path / name
        torch.save(
            {"state_dict": {}, "x": Hostile(trap)}, path, _use_new_zipfile_serialization=zipped
        )
        with pytest.raises(ConfigError, match=r"posix\.mkdir|nt\.mkdir"):
            read_checkpoint(path)
        with pytest.raises(ConfigError, match="refused"):
            torchreid_module("utils").load_pretrained_weights(osnet(), str(path))
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Hostile(trap), protocol=2))
    with pytest.raises(ConfigError):
        read_checkpoint(tmp_path / "plain.pth")
    assert not trap.exists()


def test_whole_pickled_models_are_refused(tmp_path):
    torch.save(osnet(), tmp_path / "model.pth")
    with pytest.raises(ConfigError, match="state_dict"):
        read_checkpoint(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a checkpoint"),
        (b"hello, this is text", "not a checkpoint"),
        (b"PK\x03\x04 cut off", "not a checkpoint"),
    ],
)
def test_broken_files_are_config_errors(tmp_path, content, words):
    for name in ("model.pth.tar-60", "model.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=words if "pth" in name else "safetensors"):
            read_checkpoint(tmp_path / name)


def test_files_without_weights_are_config_errors(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match="holds a list"):
        read_checkpoint(tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(ConfigError, match="no weights, only: epoch"):
        load_weights(osnet(), tmp_path / "empty.pth")
    with pytest.raises(ConfigError, match="there is no checkpoint file"):
        read_checkpoint(tmp_path / "missing.pth")


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("", "state_dict"),
        ("module.", "state_dict"),
        ("module.module.", None),
        ("model.", "model"),
        ("module.model.", None),
    ],
)
def test_prefixes_are_ignored(tmp_path, prefix, key):
    source, target = osnet(seed=1), osnet(seed=2)
    state = {f"{prefix}{name}": value for name, value in source.state_dict().items()}
    torch.save({key: state} if key else state, tmp_path / "weights.pth")
    match = load_weights(target, tmp_path / "weights.pth")
    assert equal(source, target)
    assert [match.missing, match.mismatched, match.unexpected] == [(), {}, ()]


def test_into_data_parallel_and_from_safetensors(tmp_path):
    source, target = osnet(seed=1), nn.DataParallel(osnet(seed=2))
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    load_weights(target, tmp_path / "weights.safetensors")
    assert equal(source, target.module)


def test_heads_and_batch_counters_may_differ(tmp_path):
    source, target = osnet(classes=9, seed=1), osnet(classes=5, seed=2)
    state = {k: v for k, v in source.state_dict().items() if "num_batches_tracked" not in k}
    torch.save(state, tmp_path / "weights.pth")
    before = target.classifier.weight.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        match = load_weights(target, tmp_path / "weights.pth")
    assert equal(source, target, heads=False)
    assert torch.equal(target.classifier.weight, before)
    assert match.mismatched["classifier.weight"] == ((5, 512), (9, 512))


def test_another_architecture_is_refused_with_the_list_and_nothing_loaded(tmp_path):
    torch.save(osnet(name="osnet_x0_5").state_dict(), tmp_path / "weights.pth")
    target = osnet(seed=2)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    for strict in (True, False):
        with pytest.raises(ConfigError, match=r"another model\.name") as caught:
            load_weights(target, tmp_path / "weights.pth", strict=strict)
        message = str(caught.value)
        assert (
            "conv1.conv.weight is (32, 3, 7, 7) in the file, (16, 3, 7, 7) in the model" in message
        )
        count, total = map(int, re.search(r"(\d+) of (\d+) tensors", message).groups())
        expected = [n for n in before if not n.startswith("classifier") and "num_batches" not in n]
        assert total == len(expected)
        state = torch.load(tmp_path / "weights.pth")
        assert count == sum(state[n].shape != before[n].shape for n in expected)
    assert all(torch.equal(before[n], v) for n, v in target.state_dict().items())


def test_a_deeper_network_of_the_same_family_is_refused(tmp_path):
    torch.save(osnet(name="resnet101").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"layer3\.6\.conv1\.weight is not in the model"):
        load_weights(osnet(name="resnet50"), tmp_path / "weights.pth")


def test_partial_weights_may_start_training_but_not_be_tested(tmp_path):
    source = osnet(seed=1)
    state = {k: v for k, v in source.state_dict().items() if not k.startswith("fc.")}
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"fc\.0\.weight is not in the file"):
        load_weights(osnet(), tmp_path / "weights.pth")
    with pytest.warns(UserWarning, match=r"fc\.0\.weight is not in the file"):
        load_weights(osnet(), tmp_path / "weights.pth", strict=False)
    half = dict(list(state.items())[: len(state) // 2])
    torch.save(half, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match="do not fit"):
        load_weights(osnet(), tmp_path / "weights.pth", strict=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    model = osnet()
    model.fc[0].weight.data[0, 0] = value
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"NaN or infinity \(fc\.0\.weight\)"):
        load_weights(osnet(), tmp_path / "weights.pth")


def test_match_leaves_the_model_as_it_is():
    model = osnet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    match = match_weights(model, {"fc.0.weight": torch.zeros(2, 2), "foo": torch.ones(1)})
    assert match.mismatched == {"fc.0.weight": ((512, 128), (2, 2))}
    assert match.unexpected == ("foo",)
    assert match.backbone == 0
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())


def test_hooked_round_trip(hooked, tmp_path, capsys):
    utils, source, target = torchreid_module("utils"), osnet(seed=1), osnet(seed=2)
    path = save_as_torchreid(source, tmp_path)
    utils.load_pretrained_weights(target, path)
    assert equal(source, target)
    assert f'Successfully loaded pretrained weights from "{path}"' in capsys.readouterr().out
    extractor = utils.FeatureExtractor(
        "osnet_x0_25", path, image_size=(64, 32), device="cpu", verbose=False
    )
    image = torch.rand(1, 3, 64, 32)
    assert torch.equal(extractor(image), source(image))
    assert set(utils.load_checkpoint(path)) >= {"state_dict", "epoch"}


@pytest.mark.parametrize("gpu_file", [True, False])
def test_resume_across_data_parallel(hooked, tmp_path, capsys, gpu_file):
    source, bare = osnet(seed=1), osnet(seed=2)
    saved, target = (nn.DataParallel(source), bare) if gpu_file else (source, nn.DataParallel(bare))
    path = save_as_torchreid(saved, tmp_path)
    optimizer = torch.optim.Adam(target.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 20)
    capsys.readouterr()
    resume = torchreid_module("utils").resume_from_checkpoint
    assert resume(path, target, optimizer, scheduler) == 3
    assert equal(source, bare)
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert capsys.readouterr().out.splitlines() == [
        f'Loading checkpoint from "{path}"',
        "Loaded model weights",
        "Loaded optimizer",
        "Loaded scheduler",
        "Last epoch = 3",
        "Last rank1 = 50.0%",
    ]


def test_resume_refuses_what_it_cannot_continue(hooked, tmp_path):
    resume = torchreid_module("utils").resume_from_checkpoint
    path = save_as_torchreid(osnet(classes=9), tmp_path)
    with pytest.raises(ConfigError, match=r"trained on other data: its classifier\.weight"):
        resume(path, osnet(classes=5))
    model = osnet(classes=9)
    optimizer = torch.optim.Adam([{"params": [p]} for p in model.parameters()])
    with pytest.raises(ConfigError, match="the optimizer in"):
        resume(path, model, optimizer)
    torch.save(osnet().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match="it has no epoch"):
        resume(str(tmp_path / "weights.pth"), osnet())


def test_strictness_follows_the_config(hooked, tmp_path):
    state = {k: v for k, v in osnet().state_dict().items() if not k.startswith("fc.")}
    torch.save(state, path := str(tmp_path / "weights.pth"))
    utils = torchreid_module("utils")
    cfg = config.add_adv_config(config.CfgNode({"test": {"evaluate": False}}))
    with pytest.warns(UserWarning, match="not taken"):
        utils.load_pretrained_weights(osnet(), path)
    cfg.test.evaluate = True
    with pytest.raises(ConfigError, match="do not fit"):
        utils.load_pretrained_weights(osnet(), path)
    cfg.test.evaluate = False
    with pytest.raises(ConfigError, match="do not fit"):
        utils.FeatureExtractor("osnet_x0_25", path, device="cpu", verbose=False)


def test_missing_weights_are_refused_before_a_random_network_is_tested(hooked, tmp_path):
    utils, missing = torchreid_module("utils"), str(tmp_path / "missing.pth")
    with pytest.warns(UserWarning, match="No file found"):
        assert not utils.check_isfile(missing)
    config.add_adv_config(config.CfgNode({"model": {"load_weights": missing, "resume": ""}}))
    with pytest.raises(ConfigError, match=r"model\.load_weights names"):
        utils.check_isfile(missing)
    with pytest.raises(ConfigError, match="model_path names"):
        utils.FeatureExtractor("osnet_x0_25", missing, device="cpu", verbose=False)


@pytest.mark.parametrize("epoch", ["3", -1, None, [3], 2.5])
def test_resume_refuses_what_is_no_epoch(hooked, tmp_path, epoch):
    path = save_as_torchreid(osnet(), tmp_path, epoch=3)
    changed = {**read_checkpoint(path), "epoch": epoch}
    torch.save(changed, path)
    with pytest.raises(ConfigError, match="it has no epoch"):
        torchreid_module("utils").resume_from_checkpoint(path, osnet())


def test_resume_does_not_stumble_over_what_is_no_rate(hooked, tmp_path, capsys):
    path = save_as_torchreid(osnet(), tmp_path)
    torch.save({**read_checkpoint(path), "rank1": "half"}, path)
    assert torchreid_module("utils").resume_from_checkpoint(path, osnet()) == 3
    assert "rank1" not in capsys.readouterr().out


def test_one_tensor_under_two_names_with_two_values_is_refused(tmp_path):
    state = osnet().state_dict()
    twice = {**state, **{f"module.{name}": value for name, value in state.items()}}
    torch.save(twice, tmp_path / "same.pth")
    load_weights(osnet(seed=1), tmp_path / "same.pth")
    twice["module.fc.0.weight"] = twice["module.fc.0.weight"] + 1
    torch.save(twice, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"fc\.0\.weight is in the file twice"):
        load_weights(osnet(seed=1), tmp_path / "other.pth")


@pytest.mark.parametrize("value", [torch.eye(3).to_sparse(), torch.ones(3, device="meta")])
def test_tensors_without_plain_values_are_refused(tmp_path, value):
    torch.save({**osnet().state_dict(), "fc.0.weight": value}, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match=r"save plain tensors"):
        load_weights(osnet(), tmp_path / "a.pth")


def test_what_overflows_in_the_models_own_precision_is_refused(tmp_path):
    state = osnet().state_dict()
    state["fc.0.weight"] = state["fc.0.weight"].double() + 1e300
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match="NaN or infinity"):
        load_weights(osnet(), tmp_path / "a.pth")
    state["fc.0.weight"] = torch.ones(state["fc.0.weight"].shape, dtype=torch.int8)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match=r"holds torch\.int8 in the file"):
        load_weights(osnet(), tmp_path / "a.pth")


def test_a_file_that_unfolds_to_far_more_than_its_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SPARE", 2**28)
    torch.save({"a": torch.ones(1).expand(9)}, tmp_path / "a.pth")
    read_checkpoint(tmp_path / "a.pth")
    size = (2**30).to_bytes(5, "little")
    content = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05" + size + b"\x85R."
    magic = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    (tmp_path / "bomb.pth").write_bytes(magic + content)
    with pytest.raises(ConfigError, match="unpacks to far more than its size"):
        read_checkpoint(tmp_path / "bomb.pth")
