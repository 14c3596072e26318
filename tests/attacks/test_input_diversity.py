"""DI-FGSM and TI-FGSM on rectangles, and the classification baseline, against other code."""
# ruff: noqa: F811 (fixtures)

import numpy as np
import pytest
import torch
from test_fgsm import EPS, PIDS, SIZES, features, images, make_batch, model  # noqa: F401 (fixtures)
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.attacks.input_diversity import InputDiversity, Placement
from torchreid_adv.attacks.loop.gradients import Smoothed
from torchreid_adv.core.batch import generator
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.loading import build_network

SEED, STEPS, STEP = 3, 4, 1 / 255


def distance(model, image, guides):
    feature = F.normalize(model(image[None]), dim=1)
    return (feature - F.normalize(guides, dim=1)).pow(2).sum(1).mean()


def smooth_slowly(gradient, kernel, reach):
    """Convolution with a Gaussian, one pixel after the other."""
    line = np.exp(-(np.linspace(-reach, reach, kernel) ** 2) / 2)
    weights = np.outer(line, line) / np.outer(line, line).sum()
    half, (_, height, width) = kernel // 2, gradient.shape
    padded = np.pad(gradient, ((0, 0), (half, half), (half, half)))
    out = np.zeros_like(gradient)
    for y in range(height):
        for x in range(width):
            out[:, y, x] = (padded[:, y : y + kernel, x : x + kernel] * weights).sum((1, 2))
    return out


def climb(image, loss, change):
    low, high = np.maximum(image.numpy() - EPS, 0), np.minimum(image.numpy() + EPS, 1)
    current, memory = image.numpy().copy(), 0
    for _ in range(STEPS):
        pixels = torch.tensor(current, requires_grad=True)
        loss(pixels).backward()
        gradient = change(pixels.grad.numpy())
        memory = memory + gradient / np.abs(gradient).sum()
        current = np.minimum(np.maximum(current + STEP * np.sign(memory), low), high)
    return torch.tensor(current)


def varied(image, draws, p, smallest):
    """A smaller copy by slicing, with the draws in the order they are made."""
    chosen, scale, down, right = torch.rand(4, generator=draws, dtype=torch.float64).tolist()
    if chosen >= p:
        return image
    _, height, width = image.shape
    scale = smallest + (1 - smallest) * scale
    h, w = round(height * scale), round(width * scale)
    top, left = int(down * (height - h + 1)), int(right * (width - w + 1))
    rows = torch.arange(height)
    canvas = torch.zeros_like(image)
    inside = F.interpolate(image[None], (h, w), mode="bilinear")[0]
    canvas[:, top : top + h, left : left + w] = inside
    assert rows[top : top + h].numel() == h  # it fits
    return canvas


@pytest.mark.parametrize("name", ["difgsm", "tifgsm"])
@pytest.mark.parametrize("targeted", [False, True])
def test_against_a_slow_float64_loop(model, images, features, name, targeted):
    p = {"difgsm": 0.7, "tifgsm": 0.6}[name]
    extra = {"kernel": 5, "reach": 2.0} if name == "tifgsm" else {}
    options = {"p": p, "smallest": 0.6, "steps": STEPS, "step_size": STEP, "seed": SEED, **extra}
    targets = {"1": 3, "2": 1, "3": 2} if targeted else {}
    attack = build_attack(name, eps=EPS, targeted=targeted, **options)
    found = attack(model, make_batch(images), References(features, targets=targets))
    sign = -1 if targeted else 1
    for row, image in enumerate(images):
        guides = features.values[features.pids == targets.get(str(PIDS[row]), PIDS[row])]
        draws = generator(SEED, "diversity", f"g{row}")
        expected = climb(
            image,
            lambda x: sign * distance(model, varied(x, draws, p, 0.6), guides),  # noqa: B023
            lambda g: smooth_slowly(g, 5, 2.0) if extra else g,
        )
        height, width = SIZES[row]
        difference = (found.images[row, :, :height, :width] - expected).abs().max()
        assert difference < 1e-12, (name, row)


def test_without_variation_it_is_mifgsm(model, images, features):
    batch, references = make_batch(images), References(features)
    plain = build_attack("mifgsm", eps=EPS, steps=STEPS)(model, batch, references)
    for name, options in (("difgsm", {"p": 0.0}), ("tifgsm", {"kernel": 1})):
        found = build_attack(name, eps=EPS, steps=STEPS, **options)(model, batch, references)
        assert torch.equal(found.images, plain.images)


def test_the_smoothed_gradient_is_that_of_torchattacks(model, images, features):
    torchattacks = pytest.importorskip("torchattacks")
    theirs = torchattacks.TIFGSM(model, eps=EPS, alpha=STEP, steps=STEPS, decay=1.0)
    kernel = theirs.stacked_kernel[0, 0].double()
    assert torch.allclose(Smoothed().weights(), kernel, rtol=0, atol=1e-8)

    class Loss(nn.Module):
        def forward(self, image):
            return distance(model, image[0], features.values[features.pids == 1]).view(1, 1)

    theirs.model, theirs.diversity_prob = Loss().eval(), 0.0
    theirs.stacked_kernel = Smoothed().weights().expand(3, 1, -1, -1)
    theirs.input_diversity = lambda image: image
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn, "CrossEntropyLoss", lambda: lambda outputs, labels: outputs.mean())
        expected = theirs(images[0][None], torch.zeros(1).long())
    attack = build_attack("tifgsm", eps=EPS, steps=STEPS, step_size=STEP)
    found = attack(model, make_batch(images, [0]), References(features))
    assert torch.allclose(found.images, expected, rtol=0, atol=1e-12)


def test_a_copy_keeps_the_proportions_of_a_person():
    diversity, draws = InputDiversity(p=1.0, smallest=0.5), torch.Generator().manual_seed(0)
    places = [diversity.draw(256, 128, draws) for _ in range(200)]
    assert all(abs(place.height - 2 * place.width) <= 1 for place in places)
    assert all(
        place.top + place.height <= 256 and place.left + place.width <= 128 for place in places
    )
    assert min(place.width for place in places) < 70
    assert {place.top > 0 for place in places} == {True, False}


def test_a_copy_is_the_image_on_black():
    image = torch.rand(3, 8, 6)
    view = InputDiversity().apply(image, Placement(top=1, left=2, height=4, width=3))
    assert torch.allclose(view[:, 1:5, 2:5], F.interpolate(image[None], (4, 3), mode="bilinear")[0])
    view[:, 1:5, 2:5] = 0
    assert not view.any()


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("difgsm", {"p": 2.0}, "p in"),
        ("difgsm", {"smallest": 0.0}, "smallest in"),
        ("tifgsm", {"kernel": 4}, "odd length"),
        ("tifgsm", {"reach": 0.0}, "reach above 0"),
    ],
)
def test_wrong_options_are_named(name, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_attack(name, eps=EPS, **options)


class Classified(nn.Module):
    def __init__(self, network, classes=6, width=16):
        super().__init__()
        self.network, self.classifier = network, nn.Linear(width, classes).double()

    def forward(self, image):
        return self.network(image)


class Embedded(Classified):
    """Its classifier sees a further layer, of as many numbers as the features."""

    def __init__(self, network):
        super().__init__(network)
        self.embedding = nn.Linear(16, 16).double()

    def forward(self, image):
        features = self.network(image)
        return self.classifier(self.embedding(features)) if self.training else features


def test_the_baseline_is_torchattacks_bim_on_the_identity_logits(model, images):
    torchattacks = pytest.importorskip("torchattacks")
    network = Classified(model.network).eval()
    whole = PixelModel(network, size=model.size).eval()
    found = build_attack("classification_ifgsm", eps=EPS)(whole, make_batch(images))
    assert (found.after > found.before).all()

    class Logits(nn.Module):
        def forward(self, image):
            return network.classifier(whole(image))

    for row, image in enumerate(images):
        logits = Logits().eval()
        theirs = torchattacks.BIM(logits, eps=EPS, alpha=1 / 255, steps=7)
        expected = theirs(image[None], logits(image[None]).argmax(1))[0]
        height, width = SIZES[row]
        assert torch.allclose(
            found.images[row, :, :height, :width], expected.detach(), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (lambda toy: toy, "has 0"),
        (lambda toy: Classified(toy, classes=1), "not loaded from the checkpoint"),
        (lambda toy: Classified(toy, width=9), "takes 9 numbers and its features have 16"),
        (Embedded, "does not see the features"),
        (lambda toy: build_network("osnet_x0_25").double(), "not loaded from the checkpoint"),
    ],
)
def test_a_network_without_its_classifier_is_refused(model, images, network, sentence):
    whole = PixelModel(network(model.network), size=(16, 10)).eval()
    with pytest.raises(ConfigError, match=sentence):
        build_attack("classification_ifgsm", eps=EPS)(whole, make_batch(images))
