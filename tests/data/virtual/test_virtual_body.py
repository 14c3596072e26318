import math

import numpy as np
import pytest

from torchreid_adv.data.virtual.body import Moment, draw_body, pose
from torchreid_adv.data.virtual.view import View


def walkers(count=20):
    return [draw_body(np.random.default_rng(seed)) for seed in range(count)]


def distance(first, last):
    return math.dist(first, last)


@pytest.mark.parametrize("phase", np.linspace(0, 2 * math.pi, 9))
def test_the_lower_foot_stands_on_the_ground(phase):
    for body, gait in walkers():
        joints = pose(body, gait, Moment(phase))
        feet = [joints[f"{side}_toe"][1] for side in ("left", "right")]
        assert min(feet) == pytest.approx(0.018)
        assert joints["head"][1] > joints["neck"][1] > joints["pelvis"][1] > max(feet)


def test_a_step_repeats_after_a_turn_and_mirrors_after_half():
    for body, gait in walkers():
        now, again = (pose(body, gait, Moment(1.0 + turn)) for turn in (0, 2 * math.pi))
        half = pose(body, gait, Moment(1.0 + math.pi))
        for joint, point in now.items():
            assert point == pytest.approx(again[joint])
        x, y, z = now["left_knee"]
        assert half["right_knee"] == pytest.approx((-x, y, z))


def test_limbs_keep_their_length_in_all_phases():
    body, gait = walkers(1)[0]
    for first, last in (("left_hip", "left_knee"), ("right_shoulder", "right_elbow")):
        lengths = [
            distance(joints[first], joints[last])
            for joints in (pose(body, gait, Moment(phase)) for phase in np.linspace(0, 6, 13))
        ]
        assert np.ptp(lengths) < 0.005


def test_gait_differs_by_person_not_only_by_phase():
    knees = {pose(body, gait, Moment(1.3))["left_knee"] for body, gait in walkers()}
    assert len(knees) == 20


@pytest.mark.parametrize(
    ("yaw", "left_hand_is"), [(0.0, "right"), (math.pi, "left"), (math.pi / 2, "near")]
)
def test_directions_of_view(yaw, left_hand_is):
    x, y, near = View(yaw, 0.0, 100.0, 50.0, 200.0).place((0.1, 1.0, 0.0))
    assert y == pytest.approx(100.0)
    expected = {"right": (60, 0), "left": (40, 0), "near": (50, 0.1)}[left_hand_is]
    assert (x, near) == pytest.approx(expected)
