"""The network: stems per modality, an attacker trained against the defender, guidance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.self_attack.layers import (
    PARTS,
    ResidualAttention,
    SpatialTemporalGuidance,
    layers,
    resnet,
    stem,
    stripes_of,
    width,
)

Outputs = dict[str, Tensor]


class SelfAttackVideo(nn.Module):
    """Self-attack defense and spatial-temporal relation mining for tracklets of two modalities.

    Li et al., Adversarial Self-Attack Defense and
    Spatial-Temporal Relation Mining (https://arxiv.org/abs/2307.03903). The attack is on features
    and only in training: an attacker with self-attention (ASAM, eqs. 2-5) updates the stems so that
    the defender's classifier cannot identify, and the defender (ADM, eqs. 6-10), whose maps of the
    two modalities attend to each other, learns against it. No image is perturbed.
    At test time a tracklet of one modality is described alone: by FRM-STIG (eqs. 11-15), which
    needs no partner; without it by the defender, whose cross-attention attends to the tracklet
    itself or is omitted.

    Args:
        num_classes: training identities.
        backbone: ``resnet50``, or ``resnet18`` for CPUs.
        pretrained: load ImageNet weights.
        weights: checkpoint of the backbone to use instead.
        attack: include the attacker (ASAM).
        defense: include cross-attention in the defender (CMCA of ADM).
        guidance: mode of :class:`SpatialTemporalGuidance`, or ``none``.
        alone: without guidance, cross-attention of a single tracklet: ``self`` or ``skip``.
        cross_query: cross-attention's queries come from the map that is added to (``self``), or the
            the ``other``.
        parts_neck: BatchNorm without bias on FRM-STIG's descriptor: ``none``, as printed in eqs. 15
            and 16; ``classifier``, before W_se in training, as eqs. 4 and 8 have one before their
            classifiers; ``descriptor``, also in the descriptor of the test.
        descriptor: at test: ``whole``, from all parts of the network; ``defender``, the defender's
            feature f_d even with guidance; ``stripes``, the means of six stripes of its maps,
            neither guided nor normalized.
    """

    takes_tracklets = True

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "resnet50",
        pretrained: bool = False,
        weights: str = "",
        attack: bool = True,
        defense: bool = True,
        guidance: str = "full",
        alone: str = "self",
        cross_query: str = "self",
        parts_neck: str = "none",
        descriptor: str = "whole",
    ) -> None:
        super().__init__()
        self.parts_neck, self.descriptor = parts_neck, descriptor
        self.alone, self.swapped = alone, cross_query == "other"
        visible, infrared, defender = (
            resnet(backbone, pretrained=pretrained, weights=weights) for _ in range(3)
        )
        middle, deep = width(defender, 3), width(defender, 4)
        self.stem_visible, self.stem_infrared = stem(visible), stem(infrared)
        self.defender, self.defender_last = layers(defender, 1, 2, 3), layers(defender, 4)
        self.cross_middle = ResidualAttention(middle) if defense else None
        self.cross_last = ResidualAttention(deep) if defense else None
        self.neck, self.classifier = _neck(deep), _classifier(deep, num_classes)
        self.attention: ResidualAttention | None = None
        if attack:
            self.attention = ResidualAttention(visible.bn1.num_features, pooled=True)
            self.attacker = layers(visible, 1, 2, 3, 4)
            self.neck_attack = _neck(deep)
            self.classifier_attack = _classifier(deep, num_classes)
        self.guidance: SpatialTemporalGuidance | None = None
        if guidance != "none":
            self.guidance = SpatialTemporalGuidance(deep, mode=guidance)
            self.classifier_parts = _classifier(self.guidance.width, num_classes)
        self.neck_parts: nn.BatchNorm1d | None = None
        if self.guidance is not None and parts_neck != "none":
            self.neck_parts = _neck(self.guidance.width)
        guided = self.guidance is not None and descriptor == "whole"
        self.feature_dim = PARTS * deep if guided or descriptor == "stripes" else deep

    def forward(
        self,
        images: Tensor,
        modality: Tensor | None = None,
        *,
        step: str = "",
        fixed: bool = False,
    ) -> Tensor | Outputs:
        """Return descriptors (N, D), or the outputs of a training step.

        Args:
            images: tracklets (N, T, 3, H, W), or images (N, 3, H, W), normalized.
            modality: (N,) 0 visible, 1 infrared; None = all visible.
            step: in training ``defense`` (features and logits of eqs. 8-9), ``parts`` (logits of
                eq. 16), ``attack`` (logits of both classifiers in eqs. 3 and 5), or ``all``. The
                i-th visible and the i-th infrared tracklet show the same person.
            fixed: the defense does not update stems and classifier (second step of Algorithm 1).

        Raises:
            ConfigError: the network is in training and no step is given.
        """
        clips = images if images.ndim == 5 else images.unsqueeze(1)
        shape = clips.shape[:2]
        shallow = self._stems(clips.flatten(0, 1), modality)
        if not self.training:
            return self._described(shallow, shape)
        if not step or modality is None:
            raise ConfigError("this network is trained step by step; set adv.engine vi_self_attack")
        return self._trained(shallow, shape, modality, step, fixed)

    def _trained(
        self, shallow: Tensor, shape: torch.Size, modality: Tensor, step: str, fixed: bool
    ) -> Outputs:
        outputs: Outputs = {}
        maps: tuple[Tensor, Tensor] | None = None
        if step in ("defense", "all"):
            maps = self._maps(shallow.detach() if fixed else shallow)
            outputs |= self._defended(*maps, shape, _partners(modality), fixed=fixed)
        if step in ("parts", "all") and self.guidance is not None:
            _, deep = self._maps(shallow) if maps is None or fixed else maps
            parts = self.guidance(deep.unflatten(0, shape))
            parts = parts if self.neck_parts is None else self.neck_parts(parts)
            outputs["parts"] = self.classifier_parts(parts)
        if step in ("attack", "all") and self.attention is not None:
            outputs |= self._attacked(shallow, shape)
        return outputs

    def _stems(self, frames: Tensor, modality: Tensor | None) -> Tensor:
        """Return the shallow maps of frames, by the stem of each tracklet's modality."""
        if modality is None or not (modality % 2).any():
            return self.stem_visible(frames)
        infrared = (modality % 2 == 1).repeat_interleave(len(frames) // len(modality))
        if infrared.all():
            return self.stem_infrared(frames)
        visible_maps, infrared_maps = (
            self.stem_visible(frames[~infrared]),
            self.stem_infrared(frames[infrared]),
        )
        maps = visible_maps.new_empty(len(frames), *visible_maps.shape[1:])
        return maps.index_put((~infrared,), visible_maps).index_put((infrared,), infrared_maps)

    def _maps(self, shallow: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps of the defender's third and fourth layers."""
        middle = self.defender(shallow)
        return middle, self.defender_last(middle)

    def _described(self, shallow: Tensor, shape: torch.Size) -> Tensor:
        middle, deep = self._maps(shallow)
        if self.descriptor == "stripes":
            return stripes_of(deep.unflatten(0, shape)).mean(1).flatten(1)
        if self.guidance is not None and self.descriptor == "whole":
            descriptors: Tensor = self.guidance(deep.unflatten(0, shape))
            if self.neck_parts is not None and self.parts_neck == "descriptor":
                descriptors = self.neck_parts(descriptors)
            return descriptors
        if self.alone == "self":
            deep = self._crossed(middle, deep, torch.arange(len(deep), device=deep.device))
        feature: Tensor = self.neck(_pooled(deep, shape))
        return feature

    def _defended(
        self, middle: Tensor, deep: Tensor, shape: torch.Size, partners: Tensor, *, fixed: bool
    ) -> Outputs:
        """Return pooled maps, the feature of eq. 8 and its logits."""
        frames = partners[:, None] * shape[1] + torch.arange(shape[1], device=partners.device)
        pooled = _pooled(self._crossed(middle, deep, frames.flatten()), shape)
        feature = self.neck(pooled)
        weight = self.classifier.weight.detach() if fixed else self.classifier.weight
        logits = F.linear(feature, weight)
        return {"pooled": pooled, "feature": feature, "defense": logits}

    def _crossed(self, middle: Tensor, deep: Tensor, partners: Tensor) -> Tensor:
        """Return the mean of both maps after attending to the partners (eq. 7), or ``deep``.

        Args:
            middle: (M, C, h, w) maps of the defender's third layer.
            deep: (M, C', h, w) maps of its fourth layer.
            partners: (M,) the frame that each frame attends to.
        """
        if self.cross_middle is None or self.cross_last is None:
            return deep
        both = [
            self.defender_last(self.cross_middle(middle, middle[partners], swapped=self.swapped)),
            self.cross_last(deep, deep[partners], swapped=self.swapped),
        ]
        return (both[0] + both[1]) / 2

    def _attacked(self, shallow: Tensor, shape: torch.Size) -> Outputs:
        """Return logits of the attacker's feature: from its classifier, and the defender's."""
        assert self.attention is not None
        maps = self.attacker(self.attention(shallow, shallow))
        feature = self.neck_attack(_pooled(maps, shape))
        return {
            "attack": self.classifier_attack(feature),
            "fooled": F.linear(feature, self.classifier.weight.detach()),
        }


def _neck(channels: int) -> nn.BatchNorm1d:
    """Return a BatchNorm without bias, which stays so when all layers are made trainable."""
    neck = nn.BatchNorm1d(channels)
    neck.register_parameter("bias", None)
    return neck


def _classifier(channels: int, classes: int) -> nn.Linear:
    layer = nn.Linear(channels, classes, bias=False)
    nn.init.normal_(layer.weight, std=0.001)
    return layer


def _pooled(maps: Tensor, shape: torch.Size) -> Tensor:
    """Return the means (N, C) over time and position of maps (N T, C, h, w)."""
    return maps.mean((2, 3)).unflatten(0, shape).mean(1)


def _partners(modality: Tensor) -> Tensor:
    """Return for each tracklet the one at the same position in the other modality."""
    visible, infrared = ((modality % 2 == side).nonzero()[:, 0] for side in (0, 1))
    partners = torch.empty_like(modality)
    partners[visible], partners[infrared] = infrared, visible
    return partners
