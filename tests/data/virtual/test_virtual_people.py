import itertools

import numpy as np
import pytest

from torchreid_adv.data.virtual.clothes import CUTS
from torchreid_adv.data.virtual.colors import COLORS
from torchreid_adv.data.virtual.image import Shot, image_size, render_image, render_layers
from torchreid_adv.data.virtual.occluders import OCCLUDERS
from torchreid_adv.data.virtual.patterns import PATTERNS
from torchreid_adv.data.virtual.people import FAMILY, LOWERS, draw_person
from torchreid_adv.data.virtual.scenes import GROUNDS, WALLS
from torchreid_adv.data.virtual.street import THINGS
from torchreid_adv.data.virtual.styles import STYLES, style_named
from torchreid_adv.errors import ConfigError


@pytest.mark.parametrize("name", STYLES)
def test_every_name_in_a_style_is_known(name):
    style = STYLES[name]
    wardrobe = style.wardrobe
    assert set(wardrobe.uppers) <= set(CUTS)
    assert set(wardrobe.lowers) <= set(LOWERS)
    assert set(wardrobe.upper_colors) | set(wardrobe.lower_colors) <= set(COLORS)
    assert set(wardrobe.patterns) <= {"plain", *PATTERNS}
    assert 2 <= len(style.cameras) <= 6
    for camera in style.cameras:
        assert camera.scene.wall in WALLS
        assert camera.scene.ground in GROUNDS
        assert set(camera.scene.things) <= set(THINGS)
        assert set(camera.occluders) <= set(OCCLUDERS)
        assert camera.resolution[0] <= camera.resolution[1] <= 1.0


def test_an_unknown_style_is_an_error_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'virtual_a'"):
        style_named("virtual_aa")


@pytest.mark.parametrize("name", STYLES)
def test_the_background_does_not_know_who_is_before_it(name):
    style = STYLES[name]
    for camid, index in itertools.product(range(len(style.cameras)), (3, 4)):
        layers = [render_layers(style, 0, Shot(pid, camid, index)) for pid in (1, 2, 70)]
        outside = np.max([layer.mask for layer in layers], axis=0) == 0
        assert outside.mean() > 0.2
        for other in layers[1:]:
            assert np.array_equal(layers[0].image[outside], other.image[outside])
            assert not np.array_equal(layers[0].image, other.image)


def test_the_camera_s_draws_do_not_know_who_is_before_it():
    style = STYLES["virtual_a"]
    first, second = (render_image(style, 0, Shot(pid, 0, 8)) for pid in (1, 2))
    assert np.mean(np.all(first == second, axis=2)) > 0.1  # noise included


def test_images_of_one_camera_have_different_backgrounds():
    style = STYLES["virtual_a"]
    corners = {render_layers(style, 0, Shot(1, 0, i)).image[:6, :6].tobytes() for i in range(10)}
    assert len(corners) == 10


@pytest.mark.parametrize("name", STYLES)
def test_an_image_depends_on_its_key_alone(name):
    style, shot = STYLES[name], Shot(5, 2, 33)
    first = render_image(style, 4, shot)
    for other in (Shot(6, 1, 2), Shot(5, 2, 34)):
        render_image(style, 4, other)
    assert np.array_equal(first, render_image(style, 4, shot))
    assert not np.array_equal(first, render_image(style, 5, shot))
    assert first.dtype == np.float32
    assert first.shape == (*image_size(style, 4, shot), 3)
    assert 0.0 <= first.min() < first.max() <= 1.0


def test_sizes_vary_only_where_the_style_says_so():
    sizes = {
        name: {image_size(style, 0, Shot(1, 0, i)) for i in range(60)}
        for name, style in STYLES.items()
    }
    assert sizes["virtual_a"] == {(128, 64)}
    for name in ("virtual_b", "virtual_c"):
        heights, widths = zip(*sizes[name], strict=True)
        assert len(set(heights)) > 5
        assert 115 <= min(heights) <= max(heights) <= 150
        assert 56 <= min(widths) <= max(widths) <= 72


def traits(person):
    outfit = person.outfit
    return (
        outfit.hair, outfit.hat, outfit.upper.kind, outfit.upper.cloth, outfit.lower, outfit.shoes,
        outfit.bag, person.body,
    )  # fmt: skip


@pytest.mark.parametrize("name", STYLES)
def test_people_differ_in_several_ways_and_some_are_alike(name):
    people = [draw_person(STYLES[name], 0, number) for number in range(1, 121)]
    alike = 0
    for (i, first), (j, second) in itertools.combinations(enumerate(people, 1), 2):
        differing = sum(a != b for a, b in zip(traits(first), traits(second), strict=True))
        assert differing >= 4
        if i // FAMILY == j // FAMILY:
            colors = (np.array(p.outfit.upper.cloth.color) for p in (first, second))
            alike += np.abs(np.subtract(*colors)).max() < 0.1
    assert alike > 20


def test_clothes_change_before_every_camera_and_the_person_does_not():
    style = STYLES["virtual_c_long"]
    for number in range(1, 41):
        seen = [draw_person(style, 3, number, camid) for camid in range(len(style.cameras))]
        assert seen == [draw_person(style, 3, number, camid) for camid in range(4)]
        assert len({(person.body, person.gait) for person in seen}) == 1
        assert len({(p.outfit.skin, p.outfit.hair, p.outfit.beard) for p in seen}) == 1
        for worn in ("upper", "lower", "shoes"):
            assert len({getattr(person.outfit, worn) for person in seen}) == 4, worn


def test_pictures_show_the_change_of_clothes():
    """Trunks of one person differ more between cameras than those of the style without changes."""
    apart = {}
    for name in ("virtual_c", "virtual_c_long"):
        style = STYLES[name]
        colors = np.empty((20, 2, 3))
        for pid, camid in itertools.product(range(20), range(2)):
            layers = render_layers(style, 0, Shot(pid + 1, camid, 0))
            middle = np.zeros_like(layers.mask)
            middle[len(middle) // 4 : len(middle) // 2] = 1
            colors[pid, camid] = layers.image[(layers.mask * middle) > 0.9].mean(axis=0)
        apart[name] = np.abs(colors[:, 0] - colors[:, 1]).mean()
    assert apart["virtual_c_long"] > 1.3 * apart["virtual_c"]


def test_styles_differ():
    means = {}
    for name, style in STYLES.items():
        if style.changes:
            continue  # the wardrobe and the cameras of another one
        shots = [Shot(pid, pid % 4, pid) for pid in range(1, 25)]
        layers = [render_layers(style, 0, shot) for shot in shots]
        inside = [layer.image[layer.mask > 0.9].mean(axis=0) for layer in layers]
        means[name] = np.mean(inside, axis=0)
    assert means["virtual_b"].mean() < means["virtual_a"].mean() - 0.05  # winter is darker
    for first, second in itertools.combinations(means.values(), 2):
        assert np.abs(first - second).max() > 0.03


def test_cameras_change_the_colors_of_the_same_person():
    style = STYLES["virtual_a"]
    people = range(1, 13)
    tones = np.array(
        [
            np.mean(
                [render_image(style, 0, Shot(pid, camid, pid)) for pid in people], axis=(0, 1, 2)
            )
            for camid in range(6)
        ]
    )
    tints = tones / tones.sum(axis=1, keepdims=True)
    assert np.ptp(tints, axis=0).max() > 0.03
    assert np.ptp(tones.mean(axis=1)) > 0.08
