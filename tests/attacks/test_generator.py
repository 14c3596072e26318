"""A generator of perturbations: its bound, its files, its losses and its game."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import build_attack
from torchreid_adv.attacks.learned.fitted import Fitted, load_learned
from torchreid_adv.attacks.learned.generator import GeneratedNoise, load_generator, save_generator
from torchreid_adv.attacks.learned.mis_ranking import GeneratorFit, MisRankingLoss
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal
from torchreid_adv.core.batch import Batch, pad
from torchreid_adv.core.pixels import quantize, to_uint8
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.generator import PatchDiscriminator, least_squares
from torchreid_adv.testing import check_attack

EPS = 8 / 255
SMALL = {"size": (32, 16), "filters": 2, "blocks": 1}


def trained(pixels=1.0, loud=True):
    """A generator whose noise reaches its bound."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noise = GeneratedNoise(EPS, pixels=pixels, **SMALL)
    if loud:
        noise.network.layers[-1].bias.data += torch.tensor([9.0, -9.0, 0.5, 0.0])[
            : 3 + (pixels < 1)
        ]
    return noise.eval()


def images(count=2, height=32, width=16):
    levels = torch.randint(0, 256, (count, 3, height, width), generator=torch.manual_seed(1))
    return levels / 255


class Net(nn.Module):
    """Mean colors of stripes, and a classifier on them."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(24, 5)

    def forward(self, pixels):
        features = F.adaptive_avg_pool2d(pixels, (4, 2)).flatten(1).tanh()
        return self.classifier(features) if self.training else features


@pytest.fixture
def model():
    torch.manual_seed(3)
    return PixelModel(Net(), size=(32, 16))


def batch(pids=(0, 0, 0, 1, 1, 2)):
    return Batch(images(len(pids)), pids=torch.tensor(pids))


@pytest.mark.parametrize("pixels", [1.0, 0.25])
@pytest.mark.parametrize("size", [(32, 16), (45, 22)])
def test_stored_images_stay_within_eps(pixels, size):
    noise, clean = trained(pixels), images(3, *size)
    moved = noise(clean)
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert EPS / 2 < (moved - clean).abs().max() <= EPS + 1e-6
    stored = to_uint8(quantize(moved, clean, noise.linf)).astype(int)
    assert abs(stored - to_uint8(clean).astype(int)).max() <= 8


def test_no_more_pixels_move_than_may():
    noise, gray = trained(0.25), torch.rand(2, 3, 45, 22) / 2 + 0.25
    moving = (noise(gray) != gray).any(1).flatten(1).sum(1)
    assert moving.tolist() == [math.ceil(0.25 * 45 * 22)] * 2


def test_the_choice_of_pixels_learns_and_is_drawn_anew_in_training():
    noise, gray = trained(0.25, loud=False).train(), torch.full((1, 3, 32, 16), 0.5)
    first, second = noise(gray), noise(gray)
    assert ((first != gray).any(1) != (second != gray).any(1)).any()
    first.mul(torch.rand(first.shape)).sum().backward()
    assert noise.network.layers[-1].bias.grad[3] != 0


@pytest.mark.parametrize("pixels", [1.0, 0.25])
def test_images_of_a_batch_are_changed_as_alone(pixels):
    attack = Fitted(trained(pixels).train(), build_distance("euclidean"))
    crops = [images(1, 32, 16)[0], images(1, 30, 20)[0], images(1, 32, 16)[0] / 2]
    canvas, sizes = pad(crops)
    together = attack.change(Batch(canvas, sizes=sizes))
    for row, crop in enumerate(crops):
        height, width = crop.shape[-2:]
        assert torch.equal(together[row, :, :height, :width], attack.change(Batch(crop[None]))[0])
        assert not together[row, :, height:].any()
        assert not together[row, :, :, width:].any()


@pytest.mark.parametrize("pixels", [1.0, 0.25])
def test_a_file_gives_the_same_images_and_draws_nothing(tmp_path, pixels):
    noise, path = trained(pixels), tmp_path / "generator.safetensors"
    save_generator(path, noise, {"trained_on": ["market1501"]})
    state = torch.get_rng_state()
    again, found = load_generator(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(again(images()), noise(images()))
    assert (again.eps, again.size, again.pixels) == (EPS, (32, 16), pixels)
    assert found.about["trained_on"] == ["market1501"]
    save_generator(tmp_path / "again.safetensors", again, {"trained_on": ["market1501"]})
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_another_process_gives_the_same_images(tmp_path):
    save_generator(tmp_path / "generator.safetensors", trained())
    script = (
        "import sys, numpy as np, torch; torch.set_num_threads(int(sys.argv[4]));"
        "from torchreid_adv.attacks.learned.generator import load_generator;"
        "p, _ = load_generator(sys.argv[1]); x = torch.from_numpy(np.load(sys.argv[2]));"
        "np.save(sys.argv[3], p(x).numpy())"
    )
    names = [str(tmp_path / name) for name in ("generator.safetensors", "clean.npy", "moved.npy")]
    np.save(names[1], images().numpy())
    threads = str(torch.get_num_threads())
    subprocess.run([sys.executable, "-c", script, *names, threads], check=True)
    here = load_generator(names[0])[0](images()).numpy()
    assert np.array_equal(np.load(names[2]), here)


@pytest.mark.parametrize("pixels", [1.0, 0.25])
def test_the_attack_keeps_its_promises(tmp_path, pixels):
    save_generator(tmp_path / "g.safetensors", trained(pixels), {"trained_on": ["market1501"]})
    attack = build_attack("mis_ranking", eps=EPS, weights=str(tmp_path / "g.safetensors"))
    check_attack(attack)
    said = attack.describe()
    assert said["linf"] == pytest.approx(8)
    assert (said["pixels"], said["trained_on"]) == (pixels, ["market1501"])


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    path = tmp_path / "generator.safetensors"
    with pytest.raises(ConfigError, match=r"name its file in adv\.attack\.weights"):
        build_attack("mis_ranking", eps=EPS)
    with pytest.raises(ConfigError, match="there is no generator"):
        build_attack("mis_ranking", eps=EPS, weights=str(path))
    save_universal(path, UniversalPerturbation(EPS))
    with pytest.raises(ConfigError, match="cannot be read as a generator"):
        load_generator(path)
    save_generator(path, trained())
    with pytest.raises(ConfigError, match=r"set adv\.attack\.eps 8"):
        build_attack("mis_ranking", eps=5 / 255, weights=str(path))
    for wrong in ({"filters": 3}, {"blocks": 99}, {"eps": 300}, {"size": [16]}, {"pixels": 0.5}):
        noise = trained()
        vars(noise).update(wrong)
        save_generator(path, noise)
        with pytest.raises(ConfigError, match="cannot be read as a generator"):
            load_generator(path)
    broken = trained()
    broken.network.layers[-1].bias.data[0] = float("nan")
    save_generator(path, broken)
    with pytest.raises(ConfigError, match="not finite"):
        load_generator(path)


def test_what_was_learned_is_found_by_the_file_whatever_it_is(tmp_path):
    paths = [str(tmp_path / name) for name in ("a", "b")]
    save_universal(paths[0], UniversalPerturbation(EPS, size=(4, 2)))
    save_generator(paths[1], trained())
    kinds = [type(load_learned(path, EPS, key="adv.training.eps")[0]) for path in paths]
    assert kinds == [UniversalPerturbation, GeneratedNoise]
    with pytest.raises(ConfigError, match=r"set adv\.training\.eps 8"):
        load_learned(paths[1], 4 / 255, key="adv.training.eps")


@pytest.mark.parametrize("normalize", [True, False])
def test_the_losses_are_those_of_loops(model, normalize):
    distance, data = build_distance("euclidean", normalize=normalize), batch()
    moved = (data.images + 0.1 * torch.rand(data.images.shape)).clamp(0, 1).double()
    data = Batch(data.images.double(), pids=data.pids)
    model = model.double().eval()
    loss = MisRankingLoss(distance, margin=0.3)
    with torch.no_grad():
        found = loss.bind(model, data)(moved)
        clean, after = model(data.images), model(moved)
    hinges, entropies = [], []
    for row, own in enumerate(after):
        apart = [
            float((distance.map(own[None]) - distance.map(other[None])).norm()) for other in clean
        ]
        same = [n for n in range(6) if data.pids[n] == data.pids[row] and n != row] or [row]
        others = [n for n in range(6) if data.pids[n] != data.pids[row]]
        hinge = max(apart[n] for n in others) - min(apart[n] for n in same) + 0.3
        hinges.append(max(hinge, 0))
        with torch.no_grad():
            label = int(model.network.classifier(clean[row]).argmin())
            logits = model.network.classifier(own)
        logs = [float(v - logits.exp().sum().log()) for v in logits]
        wanted = [0.1 / 5 + (0.9 if n == label else 0) for n in range(5)]
        entropies.append(-sum(w * v for w, v in zip(wanted, logs, strict=True)))
    assert float(found["triplet"]) == pytest.approx(math.log(sum(hinges) / 6))
    assert float(found["identity"]) == pytest.approx(math.log(sum(entropies) / 6))


def test_least_squares_by_hand_at_three_scales():
    verdicts = [torch.full((2, 1, 4, 2), 0.5), torch.full((2, 1, 2, 1), 2.0), torch.zeros(2, 1)]
    assert float(least_squares(verdicts, 1.0)) == pytest.approx((0.25 + 1 + 1) / 3)
    shapes = [tuple(v.shape) for v in PatchDiscriminator(filters=2)(images(2), images(2))]
    assert shapes == [(2, 1, 8, 4), (2, 1, 4, 2), (2, 1, 2, 1)]


def test_the_parts_make_the_loss(model):
    loss = MisRankingLoss(build_distance("euclidean"))
    fit = GeneratorFit(loss, eps=EPS, weight=3.0, **SMALL)
    parts = fit.fit_step(model, batch())
    total = 3 * (parts["triplet"] + parts["identity"]) + parts["fooling"]
    assert parts["loss"] == pytest.approx(total + 0.1 * (1 - parts["ms_ssim"]), rel=1e-5)


def test_training_raises_the_misranking_and_leaves_the_model_alone(model):
    data = batch()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    model.train()
    loss = MisRankingLoss(build_distance("euclidean"))
    fit, again = (GeneratorFit(loss, eps=EPS, lr=0.02, pixels=0.5, **SMALL) for _ in range(2))
    start = fit.noise.network.weights()
    steps = [fit.fit_step(model, data) for _ in range(8)]
    assert [again.fit_step(model, data) for _ in range(2)] == steps[:2]
    learned = fit.noise.network.weights()
    assert any(not torch.equal(learned[name], start[name]) for name in start)
    assert steps[-1]["triplet"] < steps[0]["triplet"]
    assert steps[-1]["discriminator"] < steps[0]["discriminator"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: GeneratedNoise(8.0, **SMALL), "levels / 255"),
        (lambda: GeneratedNoise(EPS, pixels=0.0), "share of pixels"),
        (lambda: GeneratedNoise(EPS, filters=0), "has filters"),
        (lambda: GeneratedNoise(EPS, size=(6, 6), filters=2)(images()), "8 pixels a side"),
        (lambda: GeneratorFit(None, eps=EPS, size=(32, 8)), "16 pixels a side"),
        (lambda: MisRankingLoss(build_distance("euclidean")).bind(None, batch((1, 1))), "one iden"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
