"""One frame of a tracklet: a person walking past a camera, by day or in infrared light."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from torchreid_adv.data.virtual.backdrop import background, folds, grain
from torchreid_adv.data.virtual.body import Moment
from torchreid_adv.data.virtual.camera import InfraredCanvas, by_night, infrared_scene, respond
from torchreid_adv.data.virtual.draws import pick, spread, stream
from torchreid_adv.data.virtual.figure import figure
from torchreid_adv.data.virtual.image import light_of, occlude_some, person_of, shadow_at
from torchreid_adv.data.virtual.shading import Canvas
from torchreid_adv.data.virtual.style import Camera, Style
from torchreid_adv.data.virtual.view import View

_WINDOW = 400  # range of the shift of the noise between frames, rows and columns


@dataclass(frozen=True)
class Walk:
    """The identity of a frame.

    Args:
        person: number of the person in the style.
        camid: camera, from 0.
        track: number of the tracklet in the set; with the camera it seeds all but the person.
        frame: number in the tracklet, from 0.
        infrared: by the camera's lamp at night, else by day.
        height: height of the frame in pixels.
        width: width likewise.
    """

    person: int
    camid: int
    track: int
    frame: int
    infrared: bool = False
    height: int = 128
    width: int = 64


def render_frame(style: Style, seed: int, walk: Walk) -> np.ndarray:
    """Render one frame, as a function of the style, the seed and the walk.

    Scene, light, direction and box are drawn once for a tracklet; pace and gait are the person's.

    Returns:
        float32 RGB (H, W, 3) in [0, 1]; infrared frames have three equal planes.
    """
    key, size = (walk.camid, walk.track, int(walk.infrared)), (walk.height, walk.width)
    camera = style.cameras[walk.camid]
    camera = by_night(camera) if walk.infrared else camera
    rng = stream(style.name, seed, "walk", *key)
    view, moment, walked = _step(style, seed, walk, camera, rng)
    scene = background(style, seed, walk.camid, rng, size, shift=walked)
    scene = infrared_scene(scene) if walk.infrared else scene
    kind = InfraredCanvas if walk.infrared else Canvas
    light = camera.light if walk.infrared else light_of(camera, rng)
    canvas = kind(scene, light=light, folds=folds(style, seed, rng, size))
    canvas.image *= 1.0 - (0.2 if walk.infrared else 0.4) * shadow_at(view, size)
    canvas.paint(figure(person_of(style.name, seed, walk.person), moment, view))
    occlude_some(canvas, camera, rng.random(), rng)
    image = np.ascontiguousarray(canvas.image.transpose(1, 2, 0))
    image = image.mean(axis=2, keepdims=True).repeat(3, axis=2) if walk.infrared else image
    return respond(
        image,
        camera,
        stream(style.name, seed, "walk response", *key),
        size=size,
        grain=_noise(style, seed, walk),
    )


def pace(style: Style, seed: int, person: int) -> float:
    """Return the phase, in radians of a double step, that a person advances per frame."""
    return _pace(style.name, seed, person)


@functools.lru_cache(maxsize=1024)
def _pace(name: str, seed: int, person: int) -> float:
    return spread(stream(name, seed, "pace", person), 0.34, 0.62)


def _step(
    style: Style, seed: int, walk: Walk, camera: Camera, rng: np.random.Generator
) -> tuple[View, Moment, float]:
    """Return the view of a person, the phase of the step, and the distance walked."""
    speed, loose = pace(style, seed, walk.person), camera.framing
    yaw = math.radians(pick(rng, camera.views) + 14.0 * rng.standard_normal())
    turn, start = 0.012 * rng.standard_normal(), spread(rng, 0.0, 2 * math.pi)
    scale = walk.height * (0.9 - 0.05 * loose + 0.04 * loose * rng.standard_normal())
    x = walk.width * (0.5 + 0.05 * loose * rng.standard_normal())
    y = walk.height * (0.955 + 0.02 * loose * rng.standard_normal())
    pitch = camera.pitch * spread(rng, 0.8, 1.2)
    bend = spread(rng, 1.1, 2.0) if rng.random() < 0.08 else 0.0
    box = stream(style.name, seed, "box", walk.camid, walk.track, int(walk.infrared), walk.frame)
    shake = 0.006 * walk.height * box.standard_normal(3)
    gait = person_of(style.name, seed, walk.person).gait
    walked = -math.sin(yaw) * walk.frame * speed * gait.stride * 0.3 * scale
    yaw += turn * walk.frame
    scale *= 1.0 + 0.003 * walk.frame * math.cos(yaw)
    view = View(yaw, pitch, scale + shake[2], x + shake[0], y + shake[1])
    return view, Moment(start + speed * walk.frame, 1.0, bend, 0.0), walked


def _noise(style: Style, seed: int, walk: Walk) -> np.ndarray:
    """Return the set's grain, shifted for each frame, gray at night."""
    stored = grain(style.name, seed)
    y, x = (step * walk.frame % _WINDOW for step in (131, 97))
    moved = stored[y : y + stored.shape[0] - _WINDOW, x : x + stored.shape[1] - _WINDOW]
    return moved[..., :1].repeat(3, axis=2) if walk.infrared else moved
