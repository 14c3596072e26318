"""Visible-infrared video."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, each, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "video.min_length",
        12,
        "shorter tracklets of visible-infrared sets are left out, frames",
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
        "checkpoint of the video network's ResNet to start from in place of ImageNet's, as "
        "torchvision or torchreid saves one",
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
        "without guidance, cross-attention of a test tracklet, which has no partner: to itself "
        "('self'), or none ('skip')",
        one_of("self", "skip"),
    ),
    Key(
        "video.cross_query",
        "self",
        "cross-attention's queries are of the map that it is added to, or of the 'other'",
        one_of("self", "other"),
    ),
    Key(
        "video.parts_neck",
        "none",
        "BatchNorm without bias on the descriptor of the body parts: 'none' as the paper prints "
        "it, 'classifier' = before their classifier in training, 'descriptor' = at test, too",
        one_of("none", "classifier", "descriptor"),
    ),
    Key(
        "video.parts_rate",
        1.0,
        "vi_self_attack: learning rate of the body parts' classifier and its BatchNorm, times that "
        "of the schedule",
        between(0, 1000),
    ),
    Key(
        "video.descriptor",
        "whole",
        "what describes a tracklet at test: 'whole' = by all that the network has, 'defender' = by "
        "the defender's feature alone, 'stripes' = by its maps' six stripes, unguided and raw",
        one_of("whole", "defender", "stripes"),
    ),
    Key(
        "video.update",
        "alternate",
        "vi_self_attack: 'alternate' = three updates a batch (Algorithm 1), 'joint' = one (eq. 17)",
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
        "vi_self_attack: lambda 1 to 3 of eq. 17: the attacker's own identities, the defense, body "
        "parts",
        each(between(0, 1000)),
    ),
    Key(
        "video.triplet",
        "plain",
        "vi_self_attack: distance of the defense's triplets: 'plain', 'squared' as eq. 10 prints "
        "it, 'pooled' = plain, before the BatchNorm",
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
        "cross-modality samplers draw an identity's tracklets with replacement, as MITML",
    ),
)
