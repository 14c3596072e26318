"""The parts of a style: its wardrobe, its cameras and their scenes."""

from __future__ import annotations

from dataclasses import dataclass

from torchreid_adv.data.virtual.solids import Light

Weights = dict[str, float]


@dataclass(frozen=True)
class Wardrobe:
    """Frequencies of clothes: name -> weight, any positive numbers.

    Args:
        uppers: keys of ``wardrobe.CUTS``.
        lowers: keys of ``identity.LOWERS``.
        upper_colors: keys of ``palette.COLORS``.
        lower_colors: likewise, for lower garments that are not denim.
        patterns: keys of ``patterns.PATTERNS``, or ``plain``.
        shoes: ``sneakers``, ``shoes``, ``boots`` or ``sandals``.
        bags: ``none``, ``backpack``, ``messenger``, ``tote`` or ``handbag``.
        hats: ``none``, ``cap``, ``beanie``, ``helmet`` or ``sun_hat``.
        scarves: share of people with a scarf, [0, 1].
    """

    uppers: Weights
    lowers: Weights
    upper_colors: Weights
    lower_colors: Weights
    patterns: Weights
    shoes: Weights
    bags: Weights
    hats: Weights
    scarves: float = 0.0


@dataclass(frozen=True)
class Scene:
    """The scene in front of a camera.

    Args:
        wall: key of ``scenes.WALLS``.
        ground: key of ``scenes.GROUNDS``.
        wall_color: RGB in [0, 1].
        ground_color: RGB in [0, 1].
        things: keys of ``things.THINGS``, placed along the wall.
        horizon: boundary of wall and ground, as a share of the image height.
        shadows: darkness of the shadows cast on the ground, [0, 1].
    """

    wall: str
    ground: str
    wall_color: tuple[float, float, float]
    ground_color: tuple[float, float, float]
    things: tuple[str, ...]
    horizon: float = 0.34
    shadows: float = 0.25


@dataclass(frozen=True)
class Camera:
    """The properties of a camera.

    Args:
        scene: background of the people.
        views: direction in degrees (0 front, 90 left side, 180 back) -> weight.
        pitch: downward angle, radians.
        light: light on the people.
        gains: factors on red, green and blue.
        gamma: exponent of its response; above 1 darkens the middle tones.
        saturation: 1 keeps colors, 0 is gray.
        contrast: 1 keeps it.
        haze: added to black, [0, 1].
        exposure: spread of the brightness between its images (standard deviation of the log).
        blur: Gaussian blur in pixels of the final image.
        noise: standard deviation of its noise in [0, 1].
        resolution: effective resolution as a share of the pixels, lowest and highest.
        framing: spread of the box around a person, 0 = exact.
        occluders: key of ``occluders.OCCLUDERS`` -> share of its images.
    """

    scene: Scene
    views: dict[float, float]
    pitch: float
    light: Light
    gains: tuple[float, float, float]
    gamma: float
    saturation: float
    contrast: float
    haze: float
    exposure: float
    blur: float
    noise: float
    resolution: tuple[float, float]
    framing: float
    occluders: Weights


@dataclass(frozen=True)
class Style:
    """A world of virtual people.

    Args:
        name: name of the data set, e.g. ``virtual_a``.
        wardrobe: frequencies of clothes.
        cameras: at most 6, the limit of torchreid's Market-1501 reader.
        alike: share of people whose upper garment resembles that of another, [0, 1].
        sizes: spread of the image size around the options', as a factor; 0 for one size.
        changes: whether people wear other clothes for every camera.
    """

    name: str
    wardrobe: Wardrobe
    cameras: tuple[Camera, ...]
    alike: float
    sizes: float = 0.0
    changes: bool = False
