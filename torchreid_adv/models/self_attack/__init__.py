"""Self-attack defense and spatio-temporal relations for visible-infrared video re-ID.

layers       attention within a frame (IMSA) and across modalities (CMCA), a ResNet's stages with
             last stride 1, body parts guided by space and time (FRM-STIG)
network      the network of both, the attacker and the defender
parts        which parameters a step of the training moves, and which parts a network has, by the
             paper's words or by its checkpoint
"""

from __future__ import annotations

from typing import Any

from torch import nn

from torchreid_adv import config
from torchreid_adv.models.self_attack.network import SelfAttackVideo
from torchreid_adv.models.self_attack.parts import parts_in
from torchreid_adv.registry import MODELS

__all__ = ["SelfAttackVideo"]


def _built(
    backbone: str, num_classes: int, pretrained: bool, parts: dict[str, Any] | None
) -> nn.Module:
    chosen = config.current().adv.video
    settings = {
        "weights": chosen.backbone if parts is None else "",  # a checkpoint has its own
        "attack": chosen.attack,
        "defense": chosen.defense,
        "guidance": chosen.guidance,
        "alone": chosen.alone,
        "cross_query": chosen.cross_query,
        "parts_neck": chosen.parts_neck,
        "descriptor": chosen.descriptor,
        **(parts or {}),
    }
    if settings["parts_neck"] == "classifier" and chosen.parts_neck == "descriptor":
        settings["parts_neck"] = "descriptor"  # a checkpoint does not say what its BatchNorm is for
    return SelfAttackVideo(num_classes, backbone=backbone, pretrained=pretrained, **settings)


@MODELS.register("self_attack_video", parts=parts_in)
def self_attack_video(
    num_classes: int,
    loss: str = "softmax",
    pretrained: bool = True,
    parts: dict[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Return the network of the paper, on ResNet-50; its modules are those of ``adv.video.*``.

    Args:
        num_classes: training identities.
        loss: not used.
        pretrained: with ImageNet weights.
        parts: keywords of :class:`SelfAttackVideo` in the place of the config's.
        kwargs: not used.
    """
    return _built("resnet50", num_classes, pretrained, parts)


@MODELS.register("self_attack_video_resnet18", parts=parts_in)
def self_attack_video_resnet18(
    num_classes: int,
    loss: str = "softmax",
    pretrained: bool = True,
    parts: dict[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Return the same on ResNet-18, for CPUs."""
    return _built("resnet18", num_classes, pretrained, parts)
