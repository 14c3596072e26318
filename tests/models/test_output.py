"""What networks answer and in which precision: right features, or a sentence."""

import copy

import pytest
import torch
from torch import nn

import torchreid_adv as adv
from torchreid_adv.core.batch import Batch
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models import Ensemble, Features, PixelModel
from torchreid_adv.models.prepare import Prepared, prepared
from torchreid_adv.models.tracklet_model import TrackletModel

SIZE = (16, 8)
IMAGES = torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, form=lambda f: f, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.form, self.body = form, nn.Conv2d(channels, 6, 5, 4)

    def forward(self, images):
        return self.form(self.body(images).mean((2, 3)))


def plain(images=IMAGES):
    return PixelModel(Net(), size=SIZE).eval()(images)


FORMS = {
    "list": (lambda f: [f * 2, f], 1, r"a list of \[float32 \(3, 6\), float32"),
    "tuple": (lambda f: (f, f * 2), 0, "a tuple of"),
    "dict": (lambda f: {"logits": f[:, :2], "feat": f}, "feat", r"a dict of \{'logits'"),
}
DOORS = {
    "PixelModel": lambda net, **more: PixelModel(net, size=SIZE, **more).eval(),
    "Ensemble": lambda net, **more: Ensemble([PixelModel(net, size=SIZE, **more)]).eval(),
    "TrackletModel": lambda net, **more: TrackletModel(
        net, pooling="avg", size=SIZE, **more
    ).eval(),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("form", FORMS)
def test_one_of_several_results_is_chosen_or_asked_for(form, door):
    change, output, words = FORMS[form]
    with pytest.raises(ConfigError, match=words) as error:
        DOORS[door](Net(change))(IMAGES)
    assert "output=" in str(error.value)
    chosen = DOORS[door](Net(change), output=output)
    assert torch.equal(chosen(IMAGES), DOORS[door](Net())(IMAGES))
    with torch.no_grad(), prepared(chosen, IMAGES) as ready:
        assert torch.allclose(ready(IMAGES), DOORS[door](Net())(IMAGES), atol=1e-6)
    with pytest.raises(ConfigError, match="is not in what the network gives"):
        DOORS[door](Net(change), output="other")(IMAGES)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (lambda f: f[:, :, None].repeat(1, 1, 2), r"float32 \(3, 6, 2\).*parts='unit'"),
        (lambda f: f[0], r"float32 \(6,\)"),
        (lambda f: f[:2], r"float32 \(2, 6\)"),
        (lambda f: f.argmax(1, keepdim=True), "int64"),
        (lambda f: None, "a NoneType"),
    ],
)
def test_what_is_no_features_is_named(form, words):
    for door in DOORS.values():
        with pytest.raises(ConfigError, match=words):
            door(Net(form))(IMAGES)


def test_an_output_of_a_single_tensor_is_refused():
    with pytest.raises(ConfigError, match="leave output out"):
        PixelModel(Net(), size=SIZE, output=0).eval()(IMAGES)


def test_attacks_take_the_chosen_output():
    attack = adv.build_attack("sma", eps=8 / 255, steps=2)
    found = attack(PixelModel(Net(FORMS["dict"][0]), size=SIZE, output="feat"), Batch(IMAGES))
    expected = attack(PixelModel(Net(), size=SIZE), Batch(IMAGES))
    assert torch.equal(found.images, expected.images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_network_is_asked_in_its_own_precision(dtype):
    network = Net().to(dtype)
    found = PixelModel(network, size=SIZE).eval()(IMAGES)
    model = PixelModel(Net(), size=SIZE)
    assert found.dtype == torch.float32
    assert torch.equal(found, network(model.normalize(IMAGES).to(dtype)).float())
    pixels = IMAGES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(PixelModel(network, size=SIZE).eval()(pixels).sum(), pixels)
    assert gradient.dtype == torch.float32
    assert bool(gradient.abs().sum() > 0)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ((IMAGES * 255).to(torch.uint8), "divide levels of 0 to 255 by 255"),
        (torch.rand(2, 1, *SIZE), r"\(N, 3, height, width\).*got \(2, 1, 16, 8\)"),
        (torch.rand(2, 4, *SIZE), "got"),
        (torch.rand(3, *SIZE), "got"),
    ],
)
def test_images_of_another_kind_are_named(images, words):
    for door in DOORS.values():
        with pytest.raises(ConfigError, match=words):
            door(Net())(images)


def test_a_network_of_other_images_is_named():
    with pytest.raises(ConfigError, match=r"fails on normalized images \(3, 3, 16, 8\)"):
        PixelModel(Net(channels=1), size=SIZE).eval()(IMAGES)


def test_memory_that_runs_out_is_no_fault_of_the_network():
    class Large(Net):
        def forward(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory")

    model = PixelModel(Large(), size=SIZE).eval()
    for use in (lambda: model(IMAGES), lambda: Prepared(model, IMAGES)):
        with pytest.raises(torch.OutOfMemoryError):
            use()


class Uncopied(Net):
    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle a lock")


def test_bf16_never_becomes_fp32_in_silence():
    model = PixelModel(Uncopied(), size=SIZE).eval()
    with prepared(model, IMAGES) as ready:
        assert ready is model
    with (
        pytest.raises(ConfigError, match=r"cannot pickle a lock.*precision fp32"),
        prepared(model, IMAGES, precision="bf16"),
    ):
        pass
    with pytest.raises(ConfigError, match="has no effect on Net"):
        Prepared(Net(), IMAGES, precision="bf16")


def test_memory_that_runs_out_while_copying_is_said():
    class Full(Net):
        def __deepcopy__(self, memo):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with (
        pytest.raises(RuntimeError, match="can't allocate memory"),
        prepared(PixelModel(Full(), size=SIZE), IMAGES),
    ):
        pass


def features(values):
    rows = len(values)
    names = tuple(str(n) for n in range(rows))
    return Features(values, torch.arange(rows), torch.zeros(rows).long(), names)


@pytest.mark.parametrize("scale", [1e30, 1e20, 1e-15, 1e-25, 1e-40])
def test_lengths_that_float32_cannot_compare_are_refused(scale):
    values = plain().detach()
    features(values)
    with pytest.raises(DataError, match="features have a length of"):
        features(values * scale)
    with pytest.raises(DataError, match="features have a length of"):
        Ensemble([PixelModel(Net(lambda f: f * scale), size=SIZE)]).eval().of_files(
            [[image] for image in IMAGES]
        )


@pytest.mark.parametrize("scale", [1e-10, 1e-3, 1e6, 1e16])
def test_lengths_in_between_rank_as_in_double_precision(scale):
    values = (torch.rand(20, 8, generator=torch.Generator().manual_seed(1)) * scale).float()
    distance = adv.build_distance("euclidean", normalize=False)
    mapped = distance.map(features(values).values)
    found = torch.cdist(mapped, mapped).argsort(1)[:, :3]
    exact = torch.cdist(values.double(), values.double()).argsort(1)[:, :3]
    assert torch.equal(found, exact)


def test_features_that_are_all_zero_are_refused_and_single_ones_are_not():
    with pytest.raises(DataError, match="length of 0"):
        features(torch.zeros(3, 6))
    features(torch.cat([torch.zeros(1, 6), torch.ones(2, 6)]))


def test_choosing_an_output_survives_a_copy():
    model = PixelModel(Net(FORMS["list"][0]), size=SIZE, output=1).eval()
    assert torch.equal(copy.deepcopy(model)(IMAGES), plain())
