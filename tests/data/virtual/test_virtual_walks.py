import itertools

import numpy as np
import pytest
from torchvision.transforms.functional import to_tensor

from torchreid_adv.data.virtual.camera import REFLECTANCE, WARMTH
from torchreid_adv.data.virtual.clothes import MATERIALS
from torchreid_adv.data.virtual.folder import WalkOptions
from torchreid_adv.data.virtual.people import draw_person
from torchreid_adv.data.virtual.styles import style_named
from torchreid_adv.data.virtual.walks import Walk, pace, render_frame
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import DATASETS

STYLE = style_named("virtual_vi")
SMALL = WalkOptions(2, 1, cameras_per_identity=2, tracklets=2, frames=3, height=64, width=32)


def test_a_frame_depends_on_its_key_alone():
    walk = Walk(3, 1, 7, 4)
    first = render_frame(STYLE, 0, walk)
    render_frame(STYLE, 0, Walk(2, 0, 1, 0, infrared=True))
    assert np.array_equal(first, render_frame(STYLE, 0, walk))
    assert not np.array_equal(first, render_frame(STYLE, 1, walk))
    assert first.shape == (128, 64, 3)
    assert 0 <= first.min() < first.max() <= 1


def test_infrared_is_gray_and_not_a_gray_copy():
    by_lamp = [render_frame(STYLE, 0, Walk(p, 0, p, 0, infrared=True)) for p in range(1, 9)]
    by_day = [render_frame(STYLE, 0, Walk(p, 0, p, 0)) for p in range(1, 9)]
    for image in by_lamp:
        assert np.abs(image - image[..., :1]).max() < 1e-6
    tones = [[image[40:70, 24:40].mean() for image in images] for images in (by_lamp, by_day)]
    assert abs(np.corrcoef(tones)[0, 1]) < 0.8
    assert set(REFLECTANCE) == set(WARMTH) == set(MATERIALS)


def test_people_walk_at_their_own_pace_with_their_own_gait():
    paces = [pace(STYLE, 0, person) for person in range(1, 30)]
    assert len(set(paces)) == 29
    strides = [draw_person(STYLE, 0, person).gait.stride for person in range(1, 30)]
    assert np.std(strides) > 0.03


def test_frames_of_a_tracklet_move_and_stay_in_one_scene():
    frames = [render_frame(STYLE, 0, Walk(5, 0, 9, frame)) for frame in range(6)]
    steps = [np.abs(a - b).mean() for a, b in itertools.pairwise(frames)]
    other = np.abs(frames[0] - render_frame(STYLE, 0, Walk(5, 3, 10, 0))).mean()
    assert min(steps) > 0.005
    assert max(steps) < other


def test_a_set_is_in_vcm_layout_and_opens_in_both_directions(tmp_path):
    options = {"options": SMALL, "min_length": 3, "transform": to_tensor, "verbose": False}
    data = DATASETS.get("virtual_vi_i2v")(str(tmp_path), **options)
    assert len(data.train) == 2 * 2 * 2 * 2
    assert len(data.query) == len(data.gallery) == 2 * 2
    assert {len(paths) for paths, *_ in data.train} == {3}
    assert len({path for paths, *_ in data.train for path in paths}) == 16 * 3
    other = DATASETS.get("virtual_vi_v2i")(str(tmp_path), **options)
    assert other.query == data.gallery
    folder = next(tmp_path.iterdir())
    assert (folder / "Test" / "0003" / "ir").is_dir()
    assert (folder / "info" / "query_IDX.txt").is_file()


def test_sizes_out_of_range_name_their_key():
    with pytest.raises(ConfigError, match=r"adv.virtual.frames is a whole number from 2"):
        WalkOptions(frames=1)
