"""Corruptions: what every kind promises, bytes that are the same everywhere, formulas by hand."""

import json
import math

import cv2
import numpy as np
import pytest
from golden import FILE, hashes, people
from scipy import stats

from torchreid_adv.corruptions import (
    FAMILIES,
    SCALES,
    SEVERITIES,
    blur,
    color,
    corrupt,
    drawn,
    exact,
    frost,
    motion,
    noise,
    occlusion,
    published_kinds,
    zoom,
)
from torchreid_adv.corruptions.draws import UNIT, Draws, content_key, normal_table
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import CORRUPTIONS

KINDS = list(CORRUPTIONS)
RANDOM = {
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "glass_blur"),
    *("motion_blur", "snow", "frost", "fog", "rain", "spatter", "elastic_transform"),
    *("occlusion_gray", "occlusion_scene", "occlusion_person"),
}
PERSON, OTHER = people()[1], people()[0]


def made(kind, image=PERSON, **options):
    return corrupt(image, kind, other=OTHER, **options)


def test_there_are_the_twenty_published_kinds_and_five_more():
    assert len(published_kinds()) == 20
    assert set(KINDS) - set(published_kinds()) == {
        *("jpeg_quality", "low_resolution"),
        *("occlusion_gray", "occlusion_scene", "occlusion_person"),
    }
    assert {CORRUPTIONS.facts(kind)["family"] for kind in KINDS} == set(FAMILIES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_keeps_its_promises(kind):
    image = PERSON.copy()
    image.flags.writeable = False
    results = [made(kind, image, severity=severity) for severity in SEVERITIES]
    for result in results:
        assert result.dtype == np.uint8
        assert result.shape == image.shape
        assert result is not image
        assert (result != image).any()
    assert (made(kind, image, severity=2) == results[1]).all()
    assert len({result.tobytes() for result in results}) == len(SEVERITIES)
    other_draw = made(kind, image, severity=3, draw=1)
    assert (other_draw != results[2]).any() == (kind in RANDOM)
    assert np.array_equal(image, PERSON)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 40), (40, 5), (61, 20)])
def test_a_kind_takes_any_size(kind, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for scale in SCALES:
        for severity in SEVERITIES:
            assert made(kind, image, severity=severity, scale=scale).shape == image.shape


def test_the_bytes_are_those_of_every_other_machine():
    golden = json.loads(FILE.read_text())
    assert set(golden) == set(KINDS)
    found = hashes()
    assert [kind for kind in KINDS if found[kind] != golden[kind]] == []
    assert sum(len(row) for rows in golden.values() for row in rows) == 3 * 25 * 5


def test_the_content_seeds_and_nothing_else():
    strided = np.asfortranarray(PERSON)
    assert (made("fog", strided) == made("fog")).all()
    changed = PERSON.copy()
    changed[0, 0, 0] ^= 1
    assert content_key(changed, "fog", 3, 0) != content_key(PERSON, "fog", 3, 0)
    turned = PERSON.reshape(PERSON.shape[1], PERSON.shape[0], 3)
    assert content_key(turned, "fog") != content_key(PERSON, "fog")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "fogg"}, "did you mean 'fog'"),
        ({"severity": 0}, "from 1 to 5, got 0"),
        ({"severity": 2.5}, "from 1 to 5, got 2.5"),
        ({"scale": "input size"}, "one of published, input"),
        ({"kind": "occlusion_person"}, "pass that one's picture"),
        ({"image": np.zeros((4, 4, 3))}, "uint8 .H, W, 3., got float64 .4, 4, 3."),
        ({"image": np.zeros((4, 4), np.uint8)}, "got uint8 .4, 4."),
        ({"image": [1, 2]}, "got list"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(options, said):
    with pytest.raises(ConfigError, match=said):
        corrupt(**{"image": PERSON, "kind": "fog", **options})


def test_names_are_taken_in_any_case():
    assert (made("Fog") == made("fog")).all()


def test_the_protocol_draws_kind_and_severity_alike_and_by_content():
    images = np.random.default_rng(0).integers(0, 256, (3000, 4, 4, 3), dtype=np.uint8)
    found = [drawn(image, 0) for image in images]
    assert found == [drawn(image, 0) for image in images]
    for place, names in ((0, published_kinds()), (1, SEVERITIES)):
        counts = [sum(pair[place] == name for pair in found) for name in names]
        assert stats.chisquare(counts).pvalue > 1e-3
    again = [drawn(image, 1) for image in images]
    assert 0.002 < np.mean([a == b for a, b in zip(found, again, strict=True)]) < 0.03
    assert {drawn(image, 0, ["fog", "rain"])[0] for image in images[:50]} == {"fog", "rain"}


def test_normal_numbers_are_normal():
    table = normal_table() / UNIT
    assert len(table) == 65536
    assert abs(table.mean()) < 1e-6
    assert abs(table.std() - 1) < 1e-3
    drawn_numbers = Draws(b"0" * 16).normal((50_000,)) / UNIT
    assert stats.kstest(drawn_numbers, "norm").pvalue > 1e-3


def test_whole_numbers_are_uniform_and_reach_their_bounds():
    numbers = Draws(b"1" * 16).integers(7, (70_000,))
    assert stats.chisquare(np.bincount(numbers)).pvalue > 1e-3
    centered = Draws(b"2" * 16).centered((100_000,), 8)
    assert (centered.min(), centered.max()) == (-255, 255)


@pytest.mark.parametrize("events", [3, 60])
@pytest.mark.parametrize("level", [0, 1, 30, 255])
def test_counts_are_of_poisson(events, level):
    words = Draws(bytes(range(16))).words((40_000,), 32)
    counts = noise.poisson(np.full(40_000, level, np.uint8), words, events)
    mean = events * level / 255
    if level == 0:
        assert not counts.any()
        return
    most = int(stats.poisson.ppf(1 - 1e-3, mean))
    found = np.bincount(np.minimum(counts, most), minlength=most + 1)
    expected = 40_000 * np.append(
        stats.poisson.pmf(np.arange(most), mean), stats.poisson.sf(most - 1, mean)
    )
    usual = expected > 5
    pairs = (np.append(c[usual], c[~usual].sum()) for c in (found, expected))
    assert stats.chisquare(*(np.maximum(p, 1e-9) for p in pairs)).pvalue > 1e-3


def test_a_count_is_where_the_distribution_passes_the_word():
    words = np.array([0, 2**31, 2**32 - 1], np.uint32)
    counts = noise.poisson(np.full(3, 255, np.uint8), words, 5)
    assert counts.tolist()[:2] == [0, stats.poisson.ppf(0.5, 5)]
    assert counts[2] > 20


def test_gaussian_noise_has_its_deviation():
    gray = np.full((200, 200, 3), 128, np.uint8)
    change = made("gaussian_noise", gray, severity=2).astype(float) - 128
    assert abs(change.std() - 0.12 * 255) < 0.4
    assert abs(change.mean() + 0.5) < 0.4  # levels are truncated


def test_impulses_are_white_and_black_alike():
    gray = np.full((200, 200, 3), 100, np.uint8)
    noisy = made("impulse_noise", gray, severity=5)
    for level in (0, 255):
        assert abs((noisy == level).mean() - 0.135) < 0.005
    assert set(np.unique(noisy)) == {0, 100, 255}


def test_a_gaussian_is_what_scipy_computes():
    from scipy.ndimage import gaussian_filter

    for sigma in (1, 2.5, 6):
        mine = exact.gaussian(PERSON, exact.Fraction(sigma)) / exact.ONE
        theirs = gaussian_filter(PERSON.astype(float), (sigma, sigma, 0), mode="nearest")
        assert abs(mine - theirs).max() < 0.2
    white = np.full((9, 9, 3), 255, np.uint8)
    assert (exact.blurred(white, exact.Fraction(6)) == 255).all()


@pytest.mark.parametrize("shape", [(3, 4), (21, 30), (1, 300), (40, 1), (17, 17)])
def test_filters_are_exact_whatever_their_size(shape):
    draws = np.random.default_rng(1)
    kernel = draws.integers(0, 2 * 65536 // math.prod(shape), shape)
    kernel[draws.random(shape) < 0.5] = 0
    kernel[0, 0] += 1
    offset = (-2, -3)
    found = exact.correlated(PERSON, exact.Tiles.of(kernel, offset), cv2.BORDER_REPLICATE)
    padded = np.pad(PERSON.astype(int), ((2, shape[0]), (3, shape[1]), (0, 0)), "edge")
    height, width = PERSON.shape[:2]
    wanted = sum(
        int(weight) * padded[row : row + height, column : column + width]
        for (row, column), weight in np.ndenumerate(kernel)
    )
    assert (found == wanted).all()


def test_long_and_short_gaussians_are_filtered_alike(monkeypatch):
    short = exact.gaussian(PERSON, exact.Fraction(5))
    monkeypatch.setattr(exact, "_DIRECT", 3)
    assert (exact.gaussian(PERSON, exact.Fraction(5)) == short).all()


def slow_sweep(image, reach, moves):
    """Glass blur's inner loop as it is published: a pixel copies its partner."""
    done, (height, width) = image.copy(), image.shape[:2]
    pairs = iter(moves)
    for row in range(height - reach, reach, -1):
        for column in range(width - reach, reach, -1):
            right, down = next(pairs)
            done[row, column] = done[row + down, column + right]
    return done


@pytest.mark.parametrize("reach", [1, 4])
def test_chains_of_copies_end_where_the_slow_loop_ends(reach):
    height, width = PERSON.shape[:2]
    key = content_key(PERSON, "sweep", reach)
    shape = (height - 2 * reach, width - 2 * reach, 2)
    words = Draws(key).words(shape).astype(int)
    moves = (words * 2 * reach >> 16).reshape(-1, 2) - reach
    assert (moves.min(), moves.max()) == (-reach, reach - 1)
    mine = blur._sweep(PERSON, reach, Draws(key))
    assert (mine == slow_sweep(PERSON, reach, moves)).all()


def test_motion_runs_along_its_line_and_ends_at_the_border():
    rows, columns = motion.line(41, 0)
    assert (rows.tolist(), columns.tolist()) == ([0] * 41, list(range(41)))
    half = motion.ANGLES // 2
    rows, columns = motion.line(11, half)  # 45 degrees
    assert (rows == columns).all()
    for angle in range(-2 * motion.ANGLES, motion.ANGLES, 7):
        turn = angle / motion.ANGLES * math.pi / 2
        assert abs(motion.sine(angle) / 2**30 - math.sin(turn)) < 1e-9
    gray = np.full((128, 16, 3), 200, np.uint8)
    assert made("motion_blur", gray, severity=5).max() < 200  # narrower than the motion
    wide = np.full((128, 64, 3), 200, np.uint8)
    assert made("motion_blur", wide, severity=5).min() >= 199


def test_a_zoom_keeps_the_corners_of_its_center():
    rows, weights = zoom.zoom_places(100, 1.25, zoom.zoomed_size(100, 1.25))
    assert len(rows) == 100
    assert (rows[0], weights[0]) == (10, 0)
    assert rows[-1] + weights[-1] / 256 == 89
    words = zoom.packed(PERSON)
    assert (zoom.unpacked(words << np.uint64(8), 8) == PERSON).all()


def test_a_disk_brightens_where_the_published_one_does():
    sums = []
    for radius, edge in blur.DEFOCUS:
        tiles = blur._disk(radius, blur.Fraction(str(edge))).pieces
        sums.append(sum(float(tile.sum()) for _, _, tile in tiles) / blur._WEIGHTS)
    assert sums[:3] == pytest.approx([1, 1, 1], abs=1e-4)
    assert all(1.005 < total < 1.02 for total in sums[3:])


def hsv(image, change):
    """Hue, saturation and value in floating point, changed, and back."""
    import colorsys

    flat = [colorsys.rgb_to_hsv(*pixel) for pixel in (image.reshape(-1, 3) / 255)]
    back = [colorsys.hsv_to_rgb(*change(*pixel)) for pixel in flat]
    return np.array(back).reshape(image.shape) * 255


@pytest.mark.parametrize("severity", SEVERITIES)
def test_light_and_saturation_are_those_of_hue_saturation_value(severity):
    added = color.BRIGHTNESS[severity - 1] / 10
    brighter = hsv(PERSON, lambda h, s, v: (h, s, min(1, v + added)))
    assert abs(made("brightness", severity=severity) - np.floor(brighter + 1e-9)).max() <= 1
    factor, extra = (value / 10 for value in color.SATURATE[severity - 1])
    saturated = hsv(PERSON, lambda h, s, v: (h, min(1, factor * s + extra), v))
    assert abs(made("saturate", severity=severity) - np.floor(saturated + 1e-9)).max() <= 1


def test_gray_turns_reddish_as_in_the_published_code():
    gray = np.full((8, 8, 3), 100, np.uint8)
    assert made("saturate", gray, severity=5)[0, 0].tolist() == [100, 80, 80]
    assert made("saturate", gray, severity=1)[0, 0].tolist() == [100, 100, 100]
    black = np.zeros((8, 8, 3), np.uint8)
    assert made("brightness", black, severity=1)[0, 0].tolist() == [25, 25, 25]


def test_contrast_by_hand():
    image = np.zeros((1, 2, 3), np.uint8)
    image[0, 1] = 200
    assert made("contrast", image, severity=1)[0, :, 0].tolist() == [60, 140]


def test_radii_grow_with_the_input_where_asked():
    tall = np.repeat(np.repeat(PERSON, 7, 0), 7, 1)  # 672 rows: three times the published 224
    change = {}
    for scale in SCALES:
        result = made("gaussian_blur", tall, severity=5, scale=scale)
        change[scale] = abs(result.astype(int) - tall).mean()
    assert change["input"] > 1.4 * change["published"]
    same = np.resize(PERSON, (224, 112, 3))
    assert (made("glass_blur", same, scale="input") == made("glass_blur", same)).all()


def test_ice_has_the_means_and_deviations_of_the_pictures():
    found = {}
    for number in range(60):
        draws = Draws(content_key(PERSON, "ice", number))
        picture = Draws(content_key(PERSON, "ice", number)).integer(len(frost.PICTURES))
        found.setdefault(picture, []).append(frost.drawn_ice((128, 64), draws))
    assert set(found) == set(range(5))
    for picture, (mean, deviation) in enumerate(frost.PICTURES):
        ice = np.array(found[picture], float)
        assert abs(ice.mean() - mean) < 6
        assert abs(ice.mean(axis=-1).std(axis=(1, 2)).mean() - deviation) < 0.35 * deviation


@pytest.mark.parametrize("severity", SEVERITIES)
def test_occlusions_cover_their_share(severity):
    share = occlusion.SHARES[severity - 1] / 100
    image = np.random.default_rng(3).integers(0, 256, (100, 60, 3), dtype=np.uint8)
    black = np.zeros((30, 20, 3), np.uint8)
    for draw in range(5):
        covered = corrupt(image, "occlusion_person", severity=severity, draw=draw, other=black)
        assert abs((covered == 0).all(axis=2).mean() - share) < 0.01
        block = corrupt(image, "occlusion_gray", severity=severity, draw=draw)
        mean = image.mean(axis=(0, 1)).astype(int)
        assert abs((block == mean).all(axis=2).mean() - share) < 0.02
        scene = corrupt(image, "occlusion_scene", severity=severity, draw=draw)
        assert abs((scene != image).any(axis=2).mean() - share) < 0.12


def test_jpeg_and_pixels_are_pillows():
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(PERSON).save(buffer, "JPEG", quality=15)
    assert (made("jpeg_compression", severity=3) == np.asarray(Image.open(buffer))).all()
    image = np.arange(64, dtype=np.uint8).reshape(8, 8, 1).repeat(3, 2)
    assert len(np.unique(made("pixelate", image, severity=2))) == 16


def test_rain_is_drawn_larger_on_low_images_and_keeps_their_size():
    low = np.full((40, 20, 3), 100, np.uint8)
    wet = made("rain", low, severity=1)
    assert wet.shape == low.shape
    assert wet.mean() < 100
