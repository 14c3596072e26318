"""One delta and one color table for every image: their values, bounds and files."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_adv.attacks import build_attack
from torchreid_adv.attacks.learned.fitted import Fitted
from torchreid_adv.attacks.learned.universal import (
    UniversalPerturbation,
    load_universal,
    save_universal,
)
from torchreid_adv.core.batch import Batch, pad
from torchreid_adv.core.pixels import quantize, to_uint8
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.testing import check_attack
from torchreid_adv.transforms.color_table import Recolor, color_shift, lattice

EPS = 8 / 255
KINDS = [("color", "joint"), ("delta", "joint"), ("both", "joint"), ("both", "split")]


def learned(kind="both", budget="joint", size=(16, 8), seed=0):
    """A perturbation at a random corner of its bounds, the worst case."""
    draws = torch.Generator().manual_seed(seed)
    perturbation = UniversalPerturbation(EPS, kind=kind, budget=budget, size=size)
    for parameter in perturbation.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draws).sign()
    perturbation.project()
    return perturbation


def images(count=2, height=24, width=10):
    levels = torch.randint(0, 256, (count, 3, height, width), generator=torch.manual_seed(1))
    return levels / 255


def slow_shift(color, table):
    """Trilinear by hand: the weighted sum of the eight corners around one color."""
    cells = table.shape[-1]
    place = [min(max(float(c), 0), 1) * (cells - 1) for c in color]
    low = [min(int(p), cells - 2) for p in place]
    total = torch.zeros(3, dtype=torch.float64)
    for corner in itertools.product((0, 1), repeat=3):
        weight = 1.0
        for axis in range(3):
            rest = place[axis] - low[axis]
            weight *= rest if corner[axis] else 1 - rest
        r, g, b = (low[axis] + corner[axis] for axis in range(3))
        total += weight * table[0, :, r, g, b].double()
    return total


def test_a_color_table_blends_the_eight_corners_around_a_color():
    table = torch.randn(1, 3, 5, 5, 5, dtype=torch.float64, generator=torch.manual_seed(0))
    pixels = torch.rand(2, 3, 4, 3, dtype=torch.float64)
    found = color_shift(pixels, table)
    for n, y, x in itertools.product(range(2), range(4), range(3)):
        torch.testing.assert_close(found[n, :, y, x], slow_shift(pixels[n, :, y, x], table))


def test_a_color_table_can_be_differentiated_twice():
    pixels = torch.rand(2, 3, 4, 3, dtype=torch.float64)
    table = torch.randn(1, 3, 4, 4, 4, dtype=torch.float64, requires_grad=True)

    def squares(table):
        return color_shift(pixels, table).square()

    assert torch.autograd.gradcheck(squares, (table,))
    assert torch.autograd.gradgradcheck(squares, (table,))


def test_a_color_table_by_hand():
    table = torch.zeros(1, 3, 3, 3, 3)
    table[0, 0, 2, 0, 0] = 0.1  # pure red becomes redder by 0.1
    table[0, 2, 0, 1, 0] = 0.2  # half green gets blue
    colors = torch.tensor([[1.0, 0, 0], [0.75, 0, 0], [0, 0.5, 0], [0, 0.25, 0], [0, 0.5, 0.25]])
    found = color_shift(colors.T[None, :, None], table)[0, :, 0].T
    expected = [[0.1, 0, 0], [0.05, 0, 0], [0, 0, 0.2], [0, 0, 0.1], [0, 0, 0.1]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_the_lattice_is_where_a_table_is_read():
    corners = lattice(4)
    torch.testing.assert_close(
        color_shift(corners[0].flatten(1)[None, :, None], corners)[0, :, 0], corners[0].flatten(1)
    )


@pytest.mark.parametrize("kind", ["both", "color", "delta"])
def test_what_was_not_learned_changes_no_bit(kind):
    clean = images()
    assert torch.equal(UniversalPerturbation(EPS, kind=kind)(clean), clean)


@pytest.mark.parametrize(("kind", "budget"), KINDS)
def test_stored_images_stay_within_eps(kind, budget):
    perturbation, clean = learned(kind, budget), images(4)
    moved = (perturbation(clean) - clean).abs()
    assert moved.max() <= EPS + 1e-6
    assert moved.max() > EPS / 2  # the bound is reached for
    stored = to_uint8(quantize(perturbation(clean), clean, perturbation.linf)).astype(int)
    assert abs(stored - to_uint8(clean).astype(int)).max() <= 8


def test_the_released_budget_reaches_twice_the_bound_and_says_so():
    perturbation, gray = learned(budget="sum"), torch.full((1, 3, 8, 8), 0.5)
    perturbation.color.data.fill_(EPS)
    perturbation.delta.data.fill_(EPS)
    assert perturbation.linf == pytest.approx(2 * EPS)
    torch.testing.assert_close(perturbation(gray), gray + 2 * EPS)


def test_the_joint_budget_gives_gradients_where_it_is_used_up():
    perturbation, gray = learned(), torch.full((1, 3, 16, 8), 0.5)
    perturbation.color.data.fill_(EPS)
    perturbation.delta.data.fill_(EPS)
    adversarial = perturbation(gray)
    torch.testing.assert_close(adversarial, gray + EPS)
    adversarial.sum().backward()
    torch.testing.assert_close(perturbation.delta.grad, torch.ones_like(perturbation.delta))


def test_no_corner_of_a_table_leaves_the_colors():
    perturbation = learned("color")
    corners = perturbation.corners + perturbation.color
    assert corners.min() >= 0
    assert corners.max() <= 1


def test_a_delta_is_resized_to_the_image():
    perturbation = UniversalPerturbation(EPS, kind="delta", size=(2, 2))
    perturbation.delta.data[0, :, :, 1] = EPS
    row = perturbation(torch.full((1, 3, 5, 3), 0.5))[0, 0, 0] - 0.5
    torch.testing.assert_close(row, torch.tensor([0, EPS / 2, EPS]))


def test_images_of_a_batch_are_changed_as_alone():
    attack = Fitted(learned(), build_distance("euclidean"))
    crops = [images(1, 24, 10)[0], images(1, 16, 12)[0]]
    canvas, sizes = pad(crops)
    together = attack.change(Batch(canvas, sizes=sizes))
    for row, crop in enumerate(crops):
        height, width = crop.shape[-2:]
        alone = attack.change(Batch(crop[None]))[0]
        assert torch.equal(together[row, :, :height, :width], alone)
        assert not together[row, :, height:].any()
        assert not together[row, :, :, width:].any()


@pytest.mark.parametrize(("kind", "budget"), [*KINDS, ("both", "sum")])
def test_a_file_gives_the_same_images(tmp_path, kind, budget):
    perturbation, path = learned(kind, budget), tmp_path / "attack.safetensors"
    save_universal(path, perturbation, {"trained_on": ["market1501"]})
    again, found = load_universal(path)
    assert torch.equal(again(images()), perturbation(images()))
    assert (again.kind, again.budget, again.linf) == (kind, budget, perturbation.linf)
    assert found.about["eps"] == 8
    assert found.about["trained_on"] == ["market1501"]
    save_universal(tmp_path / "again.safetensors", again, {"trained_on": ["market1501"]})
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_another_process_gives_the_same_images(tmp_path):
    save_universal(tmp_path / "attack.safetensors", learned())
    script = (
        "import sys, numpy as np, torch;"
        "from torchreid_adv.attacks.learned.universal import load_universal;"
        "p, _ = load_universal(sys.argv[1]); x = torch.from_numpy(np.load(sys.argv[2]));"
        "np.save(sys.argv[3], p(x).detach().numpy())"
    )
    names = [str(tmp_path / name) for name in ("attack.safetensors", "clean.npy", "moved.npy")]
    np.save(names[1], images().numpy())
    subprocess.run([sys.executable, "-c", script, *names], check=True)
    here = load_universal(names[0])[0](images()).detach().numpy()
    assert np.array_equal(np.load(names[2]), here)


@pytest.mark.parametrize(("kind", "budget"), [*KINDS, ("both", "sum")])
def test_the_attack_keeps_its_promises(tmp_path, kind, budget):
    save_universal(tmp_path / "attack.safetensors", learned(kind, budget))
    attack = build_attack("universal", eps=EPS, weights=str(tmp_path / "attack.safetensors"))
    check_attack(attack)
    assert attack.describe()["linf"] == pytest.approx(16 if budget == "sum" else 8)


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"name its file in adv\.attack\.weights"):
        build_attack("universal", eps=EPS)
    with pytest.raises(ConfigError, match="there is no universal perturbation"):
        build_attack("universal", eps=EPS, weights=str(tmp_path / "none.safetensors"))
    path = tmp_path / "attack.safetensors"
    save_universal(path, learned())
    with pytest.raises(ConfigError, match=r"set adv\.attack\.eps 8"):
        build_attack("universal", eps=5 / 255, weights=str(path))
    broken = learned()
    broken.delta.data[0, 0, 0, 0] = float("nan")
    save_universal(path, broken)
    with pytest.raises(ConfigError, match="no universal perturbation that can be used"):
        load_universal(path)
    path.write_bytes(b"no")
    with pytest.raises(ConfigError, match="cannot be read as a universal perturbation"):
        load_universal(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"kind": "colour"}, "did you mean 'color'"), ({"budget": "all"}, "unknown budget"),
     ({"cells": 1}, "2 corners"), ({"eps": 8.0}, "levels / 255")],
)  # fmt: skip
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        UniversalPerturbation(**{"eps": EPS, **options})


def test_recolor_is_the_color_part(tmp_path):
    perturbation = learned("color")
    save_universal(tmp_path / "attack.safetensors", perturbation)
    recolor = Recolor(weights=str(tmp_path / "attack.safetensors"), p=1.0)
    found = recolor(Image.fromarray(to_uint8(images()[0])))
    expected = to_uint8(perturbation(images())[0])
    assert np.array_equal(np.asarray(found), expected)
    assert recolor.apply(found, None) is found
    save_universal(tmp_path / "delta.safetensors", learned("delta"))
    with pytest.raises(ConfigError, match="has no color table"):
        Recolor(weights=str(tmp_path / "delta.safetensors"))
    with pytest.raises(ConfigError, match="name its file"):
        Recolor()
