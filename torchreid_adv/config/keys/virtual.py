"""Virtual people."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between

KEYS: tuple[Key, ...] = (
    Key(
        "virtual.train_identities",
        120,
        "virtual people in the training set",
        between(1, 1501),
        unit="identities",
    ),
    Key(
        "virtual.test_identities",
        60,
        "virtual people in query and gallery",
        between(1, 1501),
        unit="identities",
    ),
    Key(
        "virtual.cameras_per_identity",
        4,
        "cameras that see a person",
        between(2, 6),
        unit="cameras",
    ),
    Key(
        "virtual.images_per_camera",
        3,
        "images of a person by each camera; in testing, one of them is the query",
        between(2, 50),
        unit="images",
    ),
    Key(
        "virtual.distractors",
        100,
        "gallery images of people who match no query",
        between(0, 10**5),
        unit="images",
    ),
    Key("virtual.seed", 0, "another seed gives other people", between(0, 2**32 - 1)),
    Key("virtual.height", 128, "image height, pixels", between(64, 512), unit="pixels"),
    Key("virtual.width", 64, "image width, pixels", between(32, 256), unit="pixels"),
    Key(
        "virtual.frames",
        12,
        "frames of a walking tracklet; only for virtual_vi_*",
        between(2, 500),
        unit="frames",
    ),
    Key(
        "virtual.tracklets",
        1,
        "tracklets of a person by each camera and modality; only for virtual_vi_*",
        between(1, 20),
        unit="tracklets",
    ),
    Key(
        "virtual.train_model",
        False,
        "attack-gallery trains the model itself when model.load_weights is empty (quick start)",
    ),
)
