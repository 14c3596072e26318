"""A toy market of identities that differ by color stripes, and models for it, good and bad."""

import dataclasses

import numpy as np
import torch
from PIL import Image
from torch import nn

from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.models import PixelModel
from torchreid_adv.standard.versions import Version

TOY = Version(
    "toy", 12, 6, 2, 1, 40, 4, transfer_steps=5, epochs=1, eot=3, draws=2, sample=8, chunk=8,
    bootstrap=100, eps=(14,), curve=(0, 8, 14, 255),
)  # fmt: skip
HEIGHT, WIDTH = 16, 8


def write_people(folder, *, identities=12, cameras=2, images=2, noise=12.0, train=4):
    """Write query, gallery and train images as PNG and return the data set."""
    sides = {"query": [], "gallery": [], "train": []}
    for pid in range(1, identities + train + 1):
        stripes = np.random.default_rng(pid).integers(60, 196, (4, 1, 3))
        for camid in range(cameras):
            for index in range(images + 1):
                side = "train" if pid > identities else "query" if index == images else "gallery"
                draws = np.random.default_rng([pid, camid, index])
                pixels = np.repeat(np.repeat(stripes, HEIGHT // 4, 0), WIDTH, 1).astype(float)
                pixels += 8 * (camid - 0.5) + draws.normal(0, noise, (HEIGHT, WIDTH, 3))
                name = f"{side}/{pid:04d}_c{camid}_{index}.png"
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
                sides[side].append(Record(name, path, pid, camid))
    return ReIDData("people", folder, **{k: tuple(sorted(v)) for k, v in sides.items()})


class Stripes(nn.Module):
    """Random projections of a smooth map of coarse colors."""

    def __init__(self, seed=0, gain=3.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.pool = nn.AdaptiveAvgPool2d((8, 4))
        self.weights = nn.Parameter(torch.randn(32, 96, generator=generator) / 96**0.5)
        self.gain = gain

    def forward(self, images):
        return torch.tanh(self.gain * (self.pool(images).flatten(1) - 0.5) @ self.weights.T)


class Around(nn.Module):
    """Pixels through something, then the network: where defects are planted."""

    def __init__(self, change, network=None):
        super().__init__()
        self.network = network or Stripes()
        self.change = change

    def forward(self, images):
        return self.network(self.change(images))


def pixel_model(network):
    return PixelModel(network, size=(HEIGHT, WIDTH), mean=(0, 0, 0), std=(1, 1, 1)).eval()


def small_version():
    """The toy version cut down to what shows that everything is done."""
    return dataclasses.replace(
        TOY, steps=4, self_steps=2, pulls=1, square=6, noise=2, sample=4, bootstrap=20
    )
