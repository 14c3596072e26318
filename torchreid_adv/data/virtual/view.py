"""The viewpoint: points of the body -> canvas pixels."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from torchreid_adv.data.virtual.body import Point, Skeleton

Spot = tuple[float, float]


@dataclass(frozen=True)
class View:
    """The viewpoint of a person, and the position on the canvas.

    Args:
        yaw: 0 sees the front, pi the back, pi / 2 the person's left side, in radians.
        pitch: downward angle of the camera, in radians.
        scale: canvas pixels per standing height.
        x: canvas column of the person's middle.
        y: canvas row of the ground under it.
    """

    yaw: float
    pitch: float
    scale: float
    x: float
    y: float

    @functools.cached_property
    def _turn(self) -> tuple[float, float, float, float]:
        yaw, pitch = self.yaw, self.pitch
        return math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)

    def place(self, point: Point) -> tuple[float, float, float]:
        """Return canvas x, canvas y and nearness (standing heights) of a point of the body."""
        across, along, level, tilt = self._turn
        right = point[0] * across - point[2] * along
        near = point[2] * across + point[0] * along
        up = point[1] * level - near * tilt
        return self.x + self.scale * right, self.y - self.scale * up, near


@dataclass(frozen=True)
class Seen:
    """A pose as seen by a camera."""

    view: View
    joints: Skeleton

    def spot(self, joint: str, offset: Point = (0.0, 0.0, 0.0)) -> Spot:
        """Return canvas x, y of a joint, or of a point ``offset`` (standing heights) from it."""
        return self._placed(joint, offset)[:2]

    def near(self, joint: str, offset: Point = (0.0, 0.0, 0.0)) -> float:
        """Return the nearness of the point to the camera, in standing heights from the middle."""
        return self._placed(joint, offset)[2]

    def facing(self, offset: Point) -> float:
        """Return how much nearer to the camera an offset is than its joint."""
        return offset[2] * math.cos(self.view.yaw) + offset[0] * math.sin(self.view.yaw)

    def _placed(self, joint: str, offset: Point) -> tuple[float, float, float]:
        x, y, z = self.joints[joint]
        return self.view.place((x + offset[0], y + offset[1], z + offset[2]))

    def width(self, across: np.ndarray | float, deep: np.ndarray | float) -> np.ndarray:
        """Return visible half-widths in pixels of ellipses with these half-axes."""
        sideways, forward = math.cos(self.view.yaw), math.sin(self.view.yaw)
        return np.asarray(
            np.sqrt((across * sideways) ** 2 + (deep * forward) ** 2) * self.view.scale
        )

    def forward(self, distance: np.ndarray | float) -> np.ndarray:
        """Return the shift to the right, in pixels, of a forward displacement."""
        return np.asarray(-distance * math.sin(self.view.yaw) * self.view.scale)


def between(first: Spot, last: Spot, share: float) -> Spot:
    """Return the point at a share of the line from one spot to another."""
    return first[0] + share * (last[0] - first[0]), first[1] + share * (last[1] - first[1])
