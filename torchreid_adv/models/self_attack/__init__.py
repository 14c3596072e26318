"""Self-attack defense and spatio-temporal relations for visible-infrared video re-ID.

layers       attention within a frame (IMSA) and across modalities (CMCA), a ResNet's stages with
             last stride 1, body parts guided by space and time (FRM-STIG)
network      the network of both, the attacker and the defender
parts        the parameters updated by each training step, and the parts of a network, from the
             paper's names or from a checkpoint
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
    video = config.current().adv.video
    settings = {
        "weights": video.backbone if parts is None else "",  # a checkpoint has its own weights
        "attack": video.attack,
        "defense": video.defense,
        "guidance": video.guidance,
        "alone": video.alone,
        "cross_query": video.cross_query,
        "parts_neck": video.parts_neck,
        "descriptor": video.descriptor,
        **(parts or {}),
    }
    if settings["parts_neck"] == "classifier" and video.parts_neck == "descriptor":
        settings["parts_neck"] = (
            "descriptor"  # a checkpoint does not record the use of its BatchNorm
        )
    return SelfAttackVideo(num_classes, backbone=backbone, pretrained=pretrained, **settings)


@MODELS.register("self_attack_video", parts=parts_in)
def self_attack_video(
    num_classes: int,
    loss: str = "softmax",
    pretrained: bool = True,
    parts: dict[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build the paper's network on ResNet-50; its modules are those of ``adv.video.*``.

    Args:
        num_classes: training identities.
        loss: ignored.
        pretrained: load ImageNet weights.
        parts: keywords of :class:`SelfAttackVideo` instead of the config's.
        kwargs: ignored.
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
    """Build the same network on ResNet-18, for CPUs."""
    return _built("resnet18", num_classes, pretrained, parts)
