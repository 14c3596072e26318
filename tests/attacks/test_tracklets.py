"""Attacks on tracklets against an independent float64 loop, on lengths and sizes that differ."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.core.batch import Batch, pad_clips
from torchreid_adv.core.pixels import quantize, to_uint8
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Features
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.tracklet_model import TrackletModel

EPS = 6 / 255
FRAMES = [  # sizes of each tracklet's frames, and which of them its clip shows
    ([(20, 9), (20, 9), (17, 12)], (0, 1, 2)),
    ([(24, 8), (18, 8)], (0, 1, 1)),  # shorter than the clip: its last frame comes twice
    ([(16, 10)], (0, 0, 0)),
    ([(20, 9), (20, 9), (20, 9)], (0, 1, 2)),
]
PIDS, CAMIDS, MODALITY = [1, 2, 3, 1], [1, 1, 0, 0], [0, 1, 1, 0]


class ToyClips(nn.Module):
    """A stem for each modality, then frames weighted by when they come."""

    takes_tracklets = True

    def __init__(self):
        super().__init__()
        self.stems = nn.ModuleList(nn.Conv2d(3, 6, 3, padding=1) for _ in range(2))
        self.last = nn.Linear(6 * 4 * 2, 12)

    def forward(self, clips, modality=None):
        features = []
        modality = torch.zeros(len(clips), dtype=torch.int64) if modality is None else modality
        for clip, kind in zip(clips, modality.tolist(), strict=True):
            maps = torch.tanh(self.stems[kind](clip))
            parts = self.last(F.adaptive_avg_pool2d(maps, (4, 2)).flatten(1))
            weights = torch.arange(1, len(clip) + 1, dtype=clip.dtype)
            features.append(torch.tanh(parts * weights[:, None]).sum(0))
        return torch.stack(features)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TrackletModel(ToyClips().double(), size=(16, 10)).eval()


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(1)
    drawn = [
        [torch.randint(256, (3, h, w), generator=generator).double() / 255 for h, w in sizes]
        for sizes, _ in FRAMES
    ]
    drawn[0][1][:, :4] = 0  # black in one frame: the clamp acts there and not in the others
    drawn[1][0][:, :5], drawn[1][1][:, :5] = 1, 1  # white in all frames
    return drawn


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(2)
    return Features(
        values=torch.randn(7, 12, generator=generator, dtype=torch.float64),
        pids=torch.tensor([1, 1, 1, 2, 2, 3, 3]),
        camids=torch.tensor([0, 1, 2, 0, 1, 0, 2]),
        image_ids=tuple(f"q{i}" for i in range(7)),
    )


def make_batch(clips, rows=range(4)):
    images, sizes, places = pad_clips([clips[row] for row in rows], [FRAMES[r][1] for r in rows])
    return Batch(
        images,
        sizes=sizes,
        pids=torch.tensor([PIDS[row] for row in rows]),
        camids=torch.tensor([CAMIDS[row] for row in rows]),
        image_ids=tuple(f"g{row}" for row in rows),
        modality=torch.tensor([MODALITY[row] for row in rows]),
        places=places,
    )


def describe(model, frames, row):
    """What the network says of a tracklet: its clip's frames, each resized by itself."""
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (model.mean, model.std))
    seen = [
        (F.interpolate(frames[place][None], model.size, mode="bilinear", antialias=True)[0] - mean)
        / std
        for place in FRAMES[row][1]
    ]
    return model.network(torch.stack(seen)[None], torch.tensor([MODALITY[row]]))[0]


def distance(feature, guides):
    return sum(((feature / feature.norm() - g / g.norm()) ** 2).sum() for g in guides)


def slow_frames(model, frames, row, guides, *, steps, step, momentum, start=None):
    """Each frame has noise of its own; a frame that comes twice is one frame."""
    current = [f.clone() for f in frames] if start is None else start
    memory = [torch.zeros_like(f) for f in frames]
    for _ in range(steps):
        leaves = [f.clone().requires_grad_() for f in current]
        distance(describe(model, leaves, row), guides).backward()
        found = [leaf.grad for leaf in leaves]
        if momentum:
            size = sum(float(g.abs().sum()) for g in found)
            memory = [momentum * m + g / size for m, g in zip(memory, found, strict=True)]
            found = memory
        current = [
            torch.minimum(torch.maximum(c + step * g.sign(), (f - EPS).clamp_min(0)), high)
            for c, g, f, high in zip(
                current, found, frames, [(f + EPS).clamp_max(1) for f in frames], strict=True
            )
        ]
    return current


def clamped(image):
    """Clamp; a pixel at 0 or 1 has its gradient, one beyond has none."""
    free = (image > -1e-9) & (image < 1 + 1e-9)
    return torch.where(free, image, image.detach().clamp(0, 1))


def slow_shared(model, frames, row, guides, *, steps, step, momentum):
    """One noise, as large as the largest frame, cut to each; frames are clamped after it."""
    height, width = (max(f.shape[axis] for f in frames) for axis in (1, 2))
    noise, memory = torch.zeros(3, height, width, dtype=torch.float64), 0
    for _ in range(steps):
        leaf = noise.clone().requires_grad_()
        moved = [clamped(f + leaf[:, : f.shape[1], : f.shape[2]]) for f in frames]
        distance(describe(model, moved, row), guides).backward()
        found = leaf.grad
        if momentum:
            memory = momentum * memory + found / found.abs().sum()
            found = memory
        noise = (noise + step * found.sign()).clamp(-EPS, EPS)
        for place in np.ndindex(*noise.shape):  # no further than a frame can follow
            shown = [
                float(f[place]) for f in frames if place[1] < f.shape[1] and place[2] < f.shape[2]
            ]
            noise[place] = min(max(float(noise[place]), -max(shown or [0])), 1 - min(shown or [1]))
    return [(f + noise[:, : f.shape[1], : f.shape[2]]).clamp(0, 1) for f in frames]


def check(found, expected, row):
    for place, frame in enumerate(expected):
        _, height, width = frame.shape
        cut = found[row, place]
        assert torch.allclose(cut[:, :height, :width], frame, atol=1e-12, rtol=0)
        assert float(cut[:, height:].abs().sum() + cut[:, :, width:].abs().sum()) == 0
    assert float(found[row, len(expected) :].abs().sum()) == 0


@pytest.mark.parametrize(("tracklet", "slow"), [("frames", slow_frames), ("shared", slow_shared)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fgsm", {"steps": 1, "step": EPS, "momentum": 0}),
        pytest.param("ifgsm", {"steps": 7, "step": 1 / 255, "momentum": 0}, marks=pytest.mark.slow),
        ("mifgsm", {"steps": 7, "step": 1 / 255, "momentum": 1}),
    ],
)
def test_against_a_slow_float64_loop(model, clips, features, name, options, tracklet, slow):
    attack = build_attack(name, eps=EPS, tracklet=tracklet)
    found = attack(model, make_batch(clips), References(features))
    for row, frames in enumerate(clips):
        guides = features.values[features.pids == PIDS[row]]
        check(found.images, slow(model, frames, row, guides, **options), row)
    assert bool((found.after > found.before).all())
    assert not found.zero_gradient.any()


def test_sma_against_a_slow_loop_from_its_random_start(model, clips):
    attack = build_attack("sma", eps=EPS, steps=3, seed=5)
    batch = make_batch(clips)
    found = attack(model, batch)
    for row, frames in enumerate(clips):
        own = describe(model, frames, row).detach()
        draws, start = batch.rng(5, "start")[row], []
        for frame in frames:
            noise = torch.rand(frame.shape, generator=draws, dtype=torch.float64)
            low, high = (frame - EPS).clamp_min(0), (frame + EPS).clamp_max(1)
            start.append(torch.minimum(torch.maximum(frame + (2 * noise - 1) * EPS, low), high))
        options = {"steps": 3, "step": 1 / 255, "momentum": 0, "start": start}
        check(found.images, slow_frames(model, frames, row, [own], **options), row)


def stored(attack, model, batch, references=None):
    """Whole levels as they are stored, clean and adversarial, int16 (N, T, H, W, 3)."""
    found = attack(model, batch, references).images
    pair = batch.images, quantize(found, batch.images, attack.linf)
    return tuple(to_uint8(images).astype(np.int16) for images in pair)


@pytest.mark.parametrize("name", ["ifgsm", "sma"])
@pytest.mark.parametrize("eps", [EPS, 4.5 / 255])
def test_shared_noise_is_the_same_in_every_stored_frame_but_for_the_clamp(
    model, clips, features, name, eps
):
    """Also where the noise starts at random, between whole levels, and the bound is none."""
    attack = build_attack(name, eps=eps, step_size=0.7 / 255, steps=4, tracklet="shared")
    batch = make_batch(clips)
    clean, moved = stored(attack, model, batch, References(features))
    assert np.abs(moved - clean).max() <= int(eps * 255 + 1e-4)
    for row, frames in enumerate(clips):
        height, width = (min(f.shape[axis] for f in frames) for axis in (1, 2))
        area = (row, slice(len(frames)), slice(height), slice(width))
        before, after = clean[area], moved[area]
        free = (after > 0) & (after < 255)
        noise = np.where(free, after - before, -999).max(0)  # of a frame that was not clamped
        known = noise > -999
        assert known.mean() > 0.5
        assert (np.clip(before + noise, 0, 255) == after)[:, known].all()


def test_black_and_white_frames_stay_in_range_and_move_inwards(model, features):
    black, white = torch.zeros(3, 16, 10).double(), torch.ones(3, 16, 10).double()
    for tracklet in ("frames", "shared"):
        images = torch.stack([torch.stack([black] * 3), torch.stack([white] * 3)])
        batch = Batch(
            images, pids=torch.tensor([1, 2]), camids=torch.zeros(2), modality=torch.tensor([0, 1])
        )
        attack = build_attack("ifgsm", eps=EPS, tracklet=tracklet)
        clean, moved = stored(attack, model, batch, References(features))
        assert moved.min() >= 0
        assert moved.max() <= 255
        assert 0 < np.abs(moved - clean).max() <= 6
        assert (moved[0] >= 0).all()
        assert (moved[1] <= 255).all()


@pytest.mark.parametrize("tracklet", ["frames", "shared"])
def test_a_batch_is_bit_equal_to_its_tracklets_alone(tracklet):
    """By the video network, infrared: a tracklet alone is filled up as a stored chunk is."""
    torch.manual_seed(3)
    network = build_network("self_attack_video_resnet18", classes=2)
    model = TrackletModel(network, size=(32, 16)).eval()
    generator = torch.Generator().manual_seed(4)
    clips = [torch.rand(n, 3, 40, 20, generator=generator) for n in (3, 2, 1)]
    shown = [(0, 1, 2), (0, 1, 1), (0, 0, 0)]
    guides = Features(
        torch.randn(3, network.feature_dim, generator=generator),
        torch.tensor([0, 1, 2]),
        torch.zeros(3, dtype=torch.int64),
        ("a", "b", "c"),
    )
    attack = build_attack("ifgsm", eps=EPS, steps=2, tracklet=tracklet)

    def attacked(rows):
        images, sizes, places = pad_clips([list(clips[r]) for r in rows], [shown[r] for r in rows])
        batch = Batch(
            images,
            sizes=sizes,
            pids=torch.tensor(rows),
            image_ids=tuple(f"t{r}" for r in rows),
            modality=torch.ones(len(rows), dtype=torch.int64),
            places=places,
        )
        return attack(model, batch, References(guides)).images

    together = attacked([0, 1, 2])
    for row, clip in enumerate(clips):
        alone = attacked([row] * 3)
        assert torch.equal(alone[0], together[row, : len(clip)])
        assert not torch.equal(alone[0], clip)


def test_modality_reaches_the_network(model, clips, features):
    batch = make_batch(clips)
    attack = build_attack("ifgsm", eps=EPS)
    found = attack(model, batch, References(features)).images
    other = Batch(**{**vars(batch), "modality": 1 - batch.modality})
    assert not torch.equal(found, attack(model, other, References(features)).images)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lta", "odfa", "fna", "difgsm", "tifgsm"])
def test_further_attacks_stay_within_bounds(model, clips, features, name):
    batch = make_batch(clips)
    clean, moved = stored(build_attack(name, eps=EPS), model, batch, References(features))
    assert 0 < np.abs(moved - clean).max() <= 6


@pytest.mark.parametrize("name", ["tifgsm", "square"])
def test_an_attack_that_cannot_share_its_noise_says_so(name):
    with pytest.raises(ConfigError, match="cannot share its noise"):
        build_attack(name, eps=EPS, tracklet="shared")


def test_shared_noise_is_for_tracklets(model, features):
    attack = build_attack("fgsm", eps=EPS, tracklet="shared")
    images = torch.rand(2, 3, 16, 10, dtype=torch.float64)
    with pytest.raises(ConfigError, match="is for tracklets"):
        attack(model, Batch(images, pids=torch.tensor([1, 2])), References(features))
    with pytest.raises(ConfigError, match="tracklet is one of frames, shared"):
        build_attack("fgsm", eps=EPS, tracklet="both")


@pytest.mark.parametrize("places", [torch.tensor([[0, 3]]), torch.tensor([[0, -2]]), torch.ones(2)])
def test_places_are_of_frames_that_there_are(places):
    with pytest.raises(ConfigError, match="places are"):
        Batch(torch.rand(1, 3, 3, 8, 4), places=places)
