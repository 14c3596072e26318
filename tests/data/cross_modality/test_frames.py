import pytest
import torch

from torchreid_adv.data.cross_modality.frames import METHODS, frame_rule
from torchreid_adv.errors import ConfigError

# first frames of six chunks, worked by hand; the step is ceil(n / 6)
GRID = {
    3: [0, 1, 2, 2, 2, 2],
    6: [0, 1, 2, 3, 4, 5],
    13: [0, 3, 6, 9, 12, 12],
    24: [0, 4, 8, 12, 16, 20],
}


@pytest.mark.parametrize("count", GRID)
def test_a_test_takes_the_first_frame_of_each_chunk(count):
    assert frame_rule("restricted", training=False)(count, 6) == GRID[count]


@pytest.mark.parametrize("count", GRID)
def test_training_draws_one_frame_of_each_chunk(count):
    rule = frame_rule("restricted", training=True)
    step = -(-count // 6)
    padded = [*range(count), *[count - 1] * (6 * step - count)]
    seen = [set() for _ in range(6)]
    for _ in range(200):
        rows = rule(count, 6)
        assert len(rows) == 6
        for chunk, row in enumerate(rows):
            seen[chunk].add(row)
    assert seen == [set(padded[c * step : (c + 1) * step]) for c in range(6)]


def test_the_rules_of_torchreid_are_torchreid_s():
    assert frame_rule("evenly", training=True)(13, 6) == [0, 2, 4, 6, 8, 10]
    assert frame_rule("evenly", training=False)(3, 6) == [0, 1, 2, 2, 2, 2]
    assert frame_rule("all", training=False)(4, 6) == [0, 1, 2, 3]
    drawn = frame_rule("random", training=True)(9, 6)
    assert drawn == sorted(set(drawn))


def test_dense_clips_follow_each_other_and_the_last_goes_round():
    rule = frame_rule("dense", training=False)
    assert rule(14, 6) == [*range(12), 12, 13, 12, 13, 12, 13]
    assert rule(2, 6) == [0, 1, 0, 1, 0, 1]


def test_consecutive_frames_follow_each_other():
    rule = frame_rule("consecutive", training=True)
    starts = set()
    for _ in range(200):
        rows = rule(10, 6)
        assert rows == list(range(rows[0], rows[0] + 6))
        starts.add(rows[0])
    assert starts == {0, 1, 2, 3}  # 0 to n - S - 1, as in MITML
    assert rule(2, 6) == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("method", METHODS)
def test_draws_come_from_torch_s_generator(method):
    rule = frame_rule(method, training=True)
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append([rule(17, 6) for _ in range(3)])
    assert draws[0] == draws[1]


def test_an_unknown_method_is_an_error_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'restricted'"):
        frame_rule("restrict", training=True)
