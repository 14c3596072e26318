import math

import numpy as np
import pytest

from torchreid_adv.data.virtual.clothes import Cloth
from torchreid_adv.data.virtual.patterns import PATTERNS, planes, weave
from torchreid_adv.data.virtual.shading import Canvas
from torchreid_adv.data.virtual.solids import Light, Material, Part, ellipsoid, limb

EVEN = Light(0.0, 0.0, 1.0, ambient=1.0, diffuse=0.0)
FELT = Material("felt")


def canvas(light=EVEN, size=(120, 80)):
    return Canvas(np.full((3, *size), 0.5, np.float32), light=light, folds=np.zeros(size))


def ball(albedo, turn=0.0, radius=20.0):
    profile = ellipsoid() * radius
    return Part((40, 60 - radius), (40, 60 + radius), profile, 0.0, turn, FELT, albedo)


def test_a_ball_covers_its_disk_and_nothing_else():
    drawn = canvas()
    drawn.paint([ball(planes((1.0, 0.0, 0.0)))])
    y, x = np.mgrid[:120, :80]
    far = np.hypot(x - 40, y - 60)
    assert drawn.mask.sum() == pytest.approx(math.pi * 20**2, rel=0.05)
    assert np.all(drawn.mask[far > 23] == 0)
    assert np.all(drawn.mask[far < 17] == 1)
    assert np.allclose(drawn.image[:, far > 26], 0.5)
    assert np.allclose(drawn.image[:, far < 17], np.array([[1], [0], [0]]), atol=1e-5)


def test_the_lit_side_is_the_brighter_one():
    drawn = canvas(Light(-0.8, 0.0, 0.6, ambient=0.4, diffuse=0.5))
    drawn.paint([ball(planes((0.6, 0.6, 0.6)))])
    assert drawn.image[0, 60, 28] > drawn.image[0, 60, 40] > drawn.image[0, 60, 52]


@pytest.mark.parametrize(("turn", "sees_front"), [(0.0, True), (math.pi, False), (-math.pi, False)])
def test_texture_goes_around_the_body(turn, sees_front):
    def half(angle, place):
        return (np.abs(angle) < math.pi / 2).astype(np.float32) * planes((1.0, 1.0, 1.0))

    drawn = canvas()
    drawn.paint([ball(half, turn=turn)])
    assert drawn.image[0, 60, 40] == pytest.approx(float(sees_front))


def test_what_is_out_of_sight_changes_nothing():
    drawn = canvas()
    part = ball(planes((1.0, 1.0, 1.0)))
    part.start, part.end = (500.0, 20.0), (500.0, 60.0)
    drawn.paint([part])
    assert np.all(drawn.image == 0.5)


def test_a_limb_is_as_wide_as_asked_and_round_at_its_ends():
    start, end, profile = limb((10.0, 10.0), (10.0, 60.0), 8.0, 4.0)
    assert start == pytest.approx((10, 2), abs=0.01)
    assert end == pytest.approx((10, 64), abs=0.01)
    assert profile[0] < 1
    assert profile[-1] < 1
    assert profile.max() == pytest.approx(8, rel=0.03)
    _, open_end, cut = limb((10.0, 10.0), (10.0, 60.0), 8.0, 4.0, open_end=True)
    assert open_end == pytest.approx((10, 60), abs=0.01)
    assert cut[-1] == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_every_pattern_shows_both_colors_somewhere(name):
    angle, place = np.meshgrid(np.linspace(-3.1, 3.1, 150), np.linspace(0, 1, 150))
    cloth = Cloth("cotton", (1.0, 0.0, 0.0), name, (0.0, 0.0, 1.0), 6.0)
    albedo = weave(cloth, length=0.37, radius=0.1)
    colors = albedo(angle.astype(np.float32), place.astype(np.float32))
    assert colors.shape == (3, 150, 150)
    assert colors[0].max() > 0.9
    assert colors[2].max() > 0.4
    assert np.allclose(colors[0] + colors[2], 1.0)


def test_parts_drawn_at_once_are_parts_drawn_one_by_one():
    rng = np.random.default_rng(0)
    folds = rng.standard_normal((120, 80)).astype(np.float32)
    light = Light(-0.6, 0.0, 0.8, ambient=0.4, diffuse=0.5)
    wool = Material("wool", gloss=0.3, wrinkles=0.2)
    parts = []
    for number in range(8):
        start, end, profile = limb(*rng.uniform(-10, 110, (2, 2)), *rng.uniform(3, 12, 2))
        color, shift = planes(tuple(rng.random(3))), 2 * np.sin(np.arange(40) / 9.0)
        parts.append(Part(start, end, profile, 0.0, 0.3, wool, color, contact=0.1 * number))
        parts.append(Part(end, start, profile, 0.0, 0.3, FELT, color, shift=shift, dim=0.7))
    at_once, one_by_one = (
        Canvas(np.full((3, 120, 80), 0.5, np.float32), light=light, folds=folds) for _ in range(2)
    )
    at_once.paint(parts)
    for part in parts:
        one_by_one.paint([part])
    assert at_once.mask.max() == 1
    assert np.array_equal(at_once.image, one_by_one.image)
    assert np.array_equal(at_once.mask, one_by_one.mask)


def test_nothing_to_draw_changes_nothing():
    drawn = canvas()
    drawn.paint([])
    assert np.all(drawn.image == 0.5)
