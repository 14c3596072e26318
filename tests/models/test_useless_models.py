"""Networks whose numbers would mean nothing: every door tries them, and refuses them."""

import sys
import types

import pytest
import torch
from torch import nn

import torchreid_adv as adv
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.loading import build_network

KINDS = {  # kind: what is said of it
    "constant": "gives every image the same features",
    "zero": "gives every image the same features",
    "nan": "gives no features: the network gives NaN",
    "of the batch": "another feature in a batch than alone",
    "of the first": "same features|another feature in a batch than alone|gives no features",
    "without statistics": "another feature in a batch than alone",
}


class Net(nn.Module):
    """A small network with a fault of a kind."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.conv = kind, nn.Conv2d(3, 8, 5, 4)
        self.norm = nn.BatchNorm2d(8, track_running_stats=kind != "without statistics")

    def forward(self, images):
        features = self.norm(self.conv(images)).relu().mean((2, 3))
        change = {
            "constant": lambda f: f * 0 + torch.arange(8.0),
            "zero": lambda f: f * 0,
            "nan": lambda f: f * float("nan"),
            "of the batch": lambda f: f - f.mean(0),
            "of the first": lambda f: f[:1].expand(len(images), -1),
            "random": lambda f: f + 0.3 * torch.randn_like(f),
        }.get(self.kind, lambda f: f)
        return change(features)


def made(kind):
    torch.manual_seed(0)
    return Net(kind).eval()


def from_module(kind, folder):
    return adv.load_model(made(kind), size=(64, 32), mean=(0, 0, 0), std=(1, 1, 1))


def from_python(kind, folder):
    sys.modules["useless_nets"] = types.SimpleNamespace(build=made)
    return adv.load_model(f"python@64x32:useless_nets:build(kind='{kind}')", device="cpu")


def from_script(kind, folder):
    program = torch.jit.trace(made(kind), torch.rand(2, 3, 64, 32), check_trace=False)
    program.save(str(folder / "net.pt"))
    return adv.load_model(f"torchscript@64x32:{folder / 'net.pt'}", device="cpu")


DOORS = {"a module": from_module, "python": from_python, "torchscript": from_script}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_refuses_useless_features(door, tmp_path):
    assert DOORS[door]("", tmp_path)(torch.rand(2, 3, 64, 32)).shape == (2, 8)
    for kind, said in KINDS.items():
        with pytest.raises(ConfigError, match=said):
            DOORS[door](kind, tmp_path)
    with pytest.warns(UserWarning, match="other features in each pass"):
        DOORS[door]("random", tmp_path)


NETWORK = "osnet_x0_25"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return build_network(NETWORK, classes=5).state_dict()


def floats(state, change):
    return {n: change(n, v) if v.is_floating_point() else v for n, v in state.items()}


BROKEN = {
    "zeros": (lambda s: floats(s, lambda n, v: v * 0), "gives every image the same features"),
    "negative variances": (
        lambda s: floats(s, lambda n, v: -v if "running_var" in n else v),
        "the network gives NaN",
    ),
    "huge": (lambda s: floats(s, lambda n, v: v * 1e30 if v.ndim == 4 else v), "NaN or infinity"),
    "8-bit floats": (
        lambda s: floats(s, lambda n, v: v.to(torch.float8_e4m3fn)),
        "in 8-bit floats",
    ),
    "moments": (lambda s: {"exp_avg": s}, "holds no weights, only: exp_avg"),
    "moments of an optimizer": (lambda s: {"optimizer": {"exp_avg": s}}, "holds no weights"),
    "momentum": (lambda s: {"momentum_buffer": s}, "holds no weights"),
    "gradients": (lambda s: {f"grad.{n}": v for n, v in s.items()}, "holds no weights"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_weights_that_are_none_are_refused(kind, state, tmp_path):
    make, said = BROKEN[kind]
    torch.save(make(state), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=said):
        adv.load_model(f"{NETWORK}:{tmp_path / 'w.pth'}", device="cpu")


def test_the_states_of_an_optimizer_are_no_second_network(state, tmp_path):
    torch.save({"model": state, "optimizer": {"exp_avg": floats(state, lambda n, v: v + 1)}},
               tmp_path / "w.pth")  # fmt: skip
    model = adv.load_model(f"{NETWORK}:{tmp_path / 'w.pth'}", device="cpu")
    loaded = model.network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


UNITS = {
    "": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "write range=255, too"),
    "@range=255": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "in levels of 0 to 255"),
    "@range=255 ": ((123.675, 116.28, 103.53), (0.229, 0.224, 0.225), "in levels of 0 to 255"),
    " ": ((1e400, 0.5, 0.5), (1, 1, 1), "three numbers each"),
}


@pytest.mark.parametrize("option", UNITS)
def test_a_mean_in_other_units_than_the_pixels_is_refused(option, state, tmp_path):
    mean, std, said = UNITS[option]
    torch.save(state, tmp_path / "w.pth")
    numbers = "/".join(",".join("1e400" if v > 1e9 else str(v) for v in p) for p in (mean, std))
    with pytest.raises(ConfigError, match=said):
        adv.load_model(f"{NETWORK}{option.strip()}@{numbers}:{tmp_path / 'w.pth'}", device="cpu")
    settings = {"range": 255} if "255" in option else {}
    with pytest.raises(ConfigError, match=said):
        adv.PixelModel(made(""), size=(64, 32), mean=mean, std=std, **settings)


@pytest.mark.parametrize("option", ["pad=100", "corner=yes", "corner=no"])
def test_options_of_a_letterbox_take_one(option, state, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=f"option '{option[:3]}.*which only a letterbox has"):
        adv.load_model(f"{NETWORK}@{option}:{tmp_path / 'w.pth'}", device="cpu")
