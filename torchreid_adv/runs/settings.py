"""Checks before a run begins, and warnings at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchreid_adv.attacks import Attack, GradientAttack
from torchreid_adv.core.manifest import Entry
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.models.resizing import FileResize
from torchreid_adv.models.tracklet_model import TrackletModel
from torchreid_adv.runs.folder import Scorable
from torchreid_adv.runs.stored import StoredImages


def attacked_resize(space: str, model: ImageModel) -> FileResize | None:
    """Return the resize before an attack, None if images keep their stored size.

    Args:
        space: ``stored`` or ``network``.
        model: to attack.

    Raises:
        ConfigError: ``network`` with models of several input sizes or that resize differently.
    """
    if space == "stored":
        return None
    size: Any = model.size
    sizes = {tuple(shape) for shape in (size if isinstance(size, list) else [size])}
    if len(sizes) > 1:
        raise ConfigError(
            f"adv.attack.space network is one size, and the attacked models have inputs of "
            f"{', '.join(f'{h}x{w}' for h, w in sorted(sizes))}; use space stored"
        )
    parts = [part for part in model.modules() if isinstance(part, PixelModel)]
    resizes = [part.preprocessing.of_files for part in parts]
    if any(resize.facts() != resizes[0].facts() for resize in resizes):
        raise ConfigError(
            "adv.attack.space network resizes images once, and the attacked models resize by "
            f"{', '.join(sorted({part.resize_name for part in parts}))}; use space stored"
        )
    return resizes[0]


def resize_facts(space: str, model: ImageModel) -> dict[str, Any]:
    """Return a manifest's entry on :func:`attacked_resize`, empty for Pillow's bilinear resize.

    Raises:
        ConfigError: see :func:`attacked_resize`.
    """
    resize = attacked_resize(space, model)
    facts = {} if resize is None else resize.facts()
    return {"resize": facts} if facts else {}


def check_target(attack: Attack, target: str) -> None:
    """Refuse a targeted attack without targets, and an untargeted attack with targets.

    Args:
        attack: to check; one that does not say whether it is targeted passes.
        target: the target map, see :func:`target_map`; "" = none.

    Raises:
        ConfigError: the attack and the target map do not match.
    """
    targeted = attack.describe().get("targeted")
    if targeted and not target:
        raise ConfigError(
            f"the attack '{attack.name}' pulls images to other identities, and none are named; set "
            "adv.attack.target_map (from Python: target) to 'random', a pid or a JSON file"
        )
    if targeted is False and target:
        raise ConfigError(
            f"a target map is given and the attack '{attack.name}' pushes away from an image's own "
            "identity; set adv.attack.targeted True (from Python: build_attack(..., targeted=True))"
        )


def say_targets(side: str, count: int, total: int) -> None:
    """Print how many images have no target and stay unchanged."""
    if count < total:
        print(
            f"=> {total - count} of {total} {side} images have no target, or already have the "
            "target identity; they stay unchanged and are not counted"
        )


def check_tracklets(attack: Attack, model: Scorable, data: ReIDData) -> None:
    """Refuse tracklets for a model or an attack of single images.

    Raises:
        ConfigError: the data set has tracklets, and the model or the attack takes images.
    """
    if not data.tracklets:
        return
    if not isinstance(attack, GradientAttack):
        raise ConfigError(
            f"the attack '{attack.name}' is for single images and '{data.name}' has "
            "tracklets; choose a gradient attack, such as ifgsm, mifgsm or sma"
        )
    models = [part for part in model.modules() if isinstance(part, PixelModel)]
    if not all(isinstance(part, TrackletModel) for part in models):
        raise ConfigError(
            f"'{data.name}' has tracklets and the model takes images; set data.type video, "
            "or from Python make it a TrackletModel"
        )


def warn(stored_images: StoredImages, missing: Sequence[Entry]) -> None:
    """Print which images did not change, and which were left out."""
    if stored_images.stuck:
        print(
            f"warning: {len(stored_images.stuck)} images had no gradient in any step and did not "
            f"change (first: {stored_images.stuck[0]})"
        )
    if missing:
        print(
            f"warning: partial, {len(missing)} bad images were left out of every number "
            f"(first: {missing[0].image_id}: {missing[0].status})"
        )
