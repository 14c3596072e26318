"""Visible-infrared video."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, each, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "video.min_length",
        12,
        "length below which tracklets of visible-infrared sets are left out, frames",
        between(1, 10**6),
        unit="frames",
    ),
    Key(
        "video.sync_transforms",
        False,
        "draw random transforms once for a tracklet, not for each frame",
    ),
    Key(
        "video.backbone",
        "",
        "checkpoint from which the video network's ResNet starts, instead of ImageNet's; as saved "
        "by torchvision or torchreid",
        path=True,
    ),
    Key("video.attack", True, "the video network has the self-attack (ASAM)"),
    Key("video.defense", True, "the video network's defender has cross-attention (CMCA of ADM)"),
    Key(
        "video.guidance",
        "full",
        "spatial-temporal guidance (FRM-STIG) of the video network: 'full', 'no_spatial' = without "
        "the LSTM over body parts, 'temporal' = FR-E-TI alone, 'none'",
        one_of("full", "no_spatial", "temporal", "none"),
    ),
    Key(
        "video.alone",
        "self",
        "without guidance: cross-attention of a test tracklet, which has no partner, to itself "
        "('self') or none ('skip')",
        one_of("self", "skip"),
    ),
    Key(
        "video.cross_query",
        "self",
        "source of the cross-attention's queries: the map that the result is added to ('self'), or "
        "the 'other' map",
        one_of("self", "other"),
    ),
    Key(
        "video.parts_neck",
        "none",
        "BatchNorm without bias on the descriptor of the body parts: 'none' as in the paper, "
        "'classifier' = before their classifier in training, 'descriptor' = also at test",
        one_of("none", "classifier", "descriptor"),
    ),
    Key(
        "video.parts_rate",
        1.0,
        "vi_self_attack: learning rate of the body parts' classifier and its BatchNorm, as a "
        "factor of the schedule's",
        between(0, 1000),
    ),
    Key(
        "video.descriptor",
        "whole",
        "descriptor of a tracklet at test: 'whole' = the complete network's, 'defender' = only the "
        "defender's feature, 'stripes' = the six stripes of its maps, without guidance",
        one_of("whole", "defender", "stripes"),
    ),
    Key(
        "video.update",
        "alternate",
        "vi_self_attack: 'alternate' = three updates per batch (Algorithm 1), 'joint' = one (eq. "
        "17)",
        one_of("alternate", "joint"),
    ),
    Key(
        "video.first_epochs",
        150,
        "vi_self_attack: epochs before the defender's classifier is fixed (Step I of Algorithm 1)",
        between(0, 10**6),
        unit="epochs",
    ),
    Key(
        "video.weights",
        [1.0, 0.5, 0.5],
        "vi_self_attack: lambda 1 to 3 of eq. 17: weights of the attacker's identities, the "
        "defense, and the body parts",
        each(between(0, 1000)),
    ),
    Key(
        "video.triplet",
        "plain",
        "vi_self_attack: distance of the defense's triplets: 'plain', 'squared' as in eq. "
        "10, 'pooled' = plain, before the BatchNorm",
        one_of("plain", "squared", "pooled"),
    ),
    Key(
        "video.warmup",
        10,
        "vi_self_attack: epochs over which the learning rate rises to the schedule's; 0 = none",
        between(0, 10**6),
        unit="epochs",
    ),
    Key(
        "video.replace",
        False,
        "cross-modality samplers draw an identity's tracklets with replacement, as MITML does",
    ),
)
