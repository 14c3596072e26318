"""One image: a person in front of a scene, through a camera."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from torchreid_adv.data.virtual.backdrop import background, folds, grain
from torchreid_adv.data.virtual.body import Moment
from torchreid_adv.data.virtual.camera import respond
from torchreid_adv.data.virtual.draws import pick, spread, stream
from torchreid_adv.data.virtual.figure import Person, figure
from torchreid_adv.data.virtual.occluders import occlude
from torchreid_adv.data.virtual.people import draw_person
from torchreid_adv.data.virtual.shading import Canvas
from torchreid_adv.data.virtual.solids import Light
from torchreid_adv.data.virtual.style import Camera, Style
from torchreid_adv.data.virtual.styles import style_named
from torchreid_adv.data.virtual.view import View

_DETAIL = 1.0  # canvas pixels per pixel of the delivered image
_PASSERS_BY = 1_000_000  # person numbers from here on are passers-by


@dataclass(frozen=True)
class Shot:
    """The identity of an image.

    Args:
        person: number of the person in the style.
        camid: camera, from 0.
        index: number of the image in the set; with the camera it seeds everything but the person.
        height: height of the image in pixels, before the style's variation of sizes.
        width: width likewise.
    """

    person: int
    camid: int
    index: int
    height: int = 128
    width: int = 64


@dataclass(frozen=True)
class Layers:
    """An image before the camera's response.

    Args:
        image: float32 RGB (H, W, 3), at canvas resolution.
        mask: (H, W), where the person or shadow changes the scene, [0, 1].
    """

    image: np.ndarray
    mask: np.ndarray


def render_image(style: Style, seed: int, shot: Shot) -> np.ndarray:
    """Render one image, as a function of the style, the seed and the shot.

    Returns:
        float32 RGB (H, W, 3) in [0, 1].
    """
    size = image_size(style, seed, shot)
    camera = style.cameras[shot.camid]
    rng = stream(style.name, seed, "response", shot.camid, shot.index)
    seen = _layers(style, seed, shot, size).image
    return respond(seen, camera, rng, size=size, grain=grain(style.name, seed))


def image_size(style: Style, seed: int, shot: Shot) -> tuple[int, int]:
    """Return height and width of a shot: those of the options, varied by the style."""
    if not style.sizes:
        return shot.height, shot.width
    rng = stream(style.name, seed, "size", shot.camid, shot.index)
    height = shot.height * (1.0 + style.sizes * spread(rng, -0.5, 1.0))
    return round(height), round(shot.width * (1.0 + style.sizes * spread(rng, -0.7, 0.7)))


def render_layers(style: Style, seed: int, shot: Shot) -> Layers:
    """Render the scene in front of the camera.

    All draws except those of the person depend on the camera and the image index, so nothing
    outside the mask depends on the person.
    """
    return _layers(style, seed, shot, image_size(style, seed, shot))


def _layers(style: Style, seed: int, shot: Shot, size: tuple[int, int]) -> Layers:
    height, width = (round(_DETAIL * side) for side in size)
    camera = style.cameras[shot.camid]
    rng = stream(style.name, seed, "image", shot.camid, shot.index)
    canvas = Canvas(
        background(style, seed, shot.camid, rng, (height, width)),
        light=light_of(camera, rng),
        folds=folds(style, seed, rng, (height, width)),
    )
    view, moment = _view(camera, rng, (height, width)), _moment(rng)
    passer_by, occluder = rng.random(), rng.random()
    if passer_by < 0.03:
        _pass_by(canvas, style, seed, view, rng, behind=True)
        canvas.mask[:] = 0.0
    shadow = shadow_at(view, (height, width))
    canvas.image *= 1.0 - 0.4 * shadow
    person = person_of(style.name, seed, shot.person, shot.camid if style.changes else 0)
    canvas.paint(figure(person, moment, view))
    mask = np.maximum(canvas.mask, shadow > 0)
    if passer_by > 0.97:
        _pass_by(canvas, style, seed, view, rng, behind=False)
    occlude_some(canvas, camera, occluder, rng)
    return Layers(np.ascontiguousarray(canvas.image.transpose(1, 2, 0)), mask)


def light_of(camera: Camera, rng: np.random.Generator) -> Light:
    """Vary the camera's light a little: sun and clouds, lamps near and far."""
    light = camera.light
    x = light.x + 0.3 * rng.standard_normal()
    length = math.sqrt(x * x + light.y**2 + light.z**2)
    return Light(
        x / length,
        light.y / length,
        light.z / length,
        light.ambient * spread(rng, 0.9, 1.1),
        light.diffuse * spread(rng, 0.85, 1.15),
    )


@functools.lru_cache(maxsize=512)
def person_of(name: str, seed: int, number: int, change: int = 0) -> Person:
    """Return a person of a style by number, in one of their outfits."""
    return draw_person(style_named(name), seed, number, change)


def _view(camera: Camera, rng: np.random.Generator, size: tuple[int, int]) -> View:
    """Draw the direction and the box: mostly whole people, sometimes cropped at head or feet."""
    yaw = math.radians(pick(rng, camera.views) + 14.0 * rng.standard_normal())
    loose = camera.framing
    scale = size[0] * (0.9 - 0.05 * loose + 0.055 * loose * rng.standard_normal())
    x = size[1] * (0.5 + 0.05 * loose * rng.standard_normal())
    y = size[0] * (0.955 + 0.022 * loose * rng.standard_normal())
    return View(yaw, camera.pitch * spread(rng, 0.8, 1.2), scale, x, y)


def _moment(rng: np.random.Generator) -> Moment:
    walks = rng.random() < 0.8
    bends = [spread(rng, 1.1, 2.0) if rng.random() < 0.12 else 0.0 for _ in range(2)]
    effort = spread(rng, 0.6, 1.1) if walks else spread(rng, 0.0, 0.25)
    return Moment(spread(rng, 0.0, 2 * math.pi), effort, bends[0], bends[1])


def shadow_at(view: View, size: tuple[int, int]) -> np.ndarray:
    """Return the soft shadow around the feet (H, W), the same for all people."""
    x = (np.arange(size[1], dtype=np.float32) - view.x) / (0.21 * view.scale)
    y = (np.arange(size[0], dtype=np.float32)[:, None] - view.y) / (0.052 * view.scale)
    return np.maximum(1.0 - np.sqrt(x * x + y * y), 0.0)


def _pass_by(
    canvas: Canvas, style: Style, seed: int, view: View, rng: np.random.Generator, *, behind: bool
) -> None:
    """Draw another person, partly in the picture."""
    other = person_of(style.name, seed, _PASSERS_BY + int(rng.integers(100)))
    width = canvas.image.shape[2]
    side = -1.0 if rng.random() < 0.5 else 1.0
    x = view.x + side * width * (spread(rng, 0.3, 0.6) if behind else spread(rng, 0.55, 0.75))
    scale = view.scale * (spread(rng, 0.7, 0.9) if behind else spread(rng, 1.05, 1.2))
    y = view.y + (scale - view.scale) * (0.35 if behind else 0.5)
    place = replace(view, yaw=spread(rng, 0.0, 2 * math.pi), scale=scale, x=x, y=y)
    canvas.paint(figure(other, _moment(rng), place))


def occlude_some(canvas: Canvas, camera: Camera, draw: float, rng: np.random.Generator) -> None:
    """Draw the occluder selected by a draw of [0, 1), if any."""
    for name, share in camera.occluders.items():
        draw -= share
        if draw < 0:
            occlude(canvas.image, name, rng)
            return
