"""The common start of a study's networks, and the learning rate's warm-up."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between

KEYS: tuple[Key, ...] = (
    Key(
        "schedule.warmup",
        0,
        "epochs over which the learning rate rises linearly, before train.lr_scheduler "
        "takes over; 0 = none",
        between(0, 10**6),
        unit="epochs",
    ),
    Key(
        "start.sources",
        [],
        "data sets on which each network of a study is trained first, once; all networks of the "
        "study start from these weights; the people must not be those of data.sources and "
        "data.targets; [] = start from random weights",
    ),
    Key(
        "start.identities",
        350,
        "virtual people in each set of adv.start.sources",
        between(2, 1501),
        unit="identities",
    ),
    Key("start.epochs", 16, "epochs of the start's training", between(1, 10**6), unit="epochs"),
    Key(
        "start.half_size",
        8,
        "first epochs of the start, at half the height and width, in a quarter of the time each",
        between(0, 10**6),
        unit="epochs",
    ),
    Key(
        "start.warmup",
        2,
        "epochs of the start with a rising rate",
        between(0, 10**6),
        unit="epochs",
    ),
    Key("start.lr", 0.004, "highest learning rate of the start", between(1e-12, 1000)),
    Key("start.batch", 64, "images per batch of the start", between(2, 10**6), unit="images"),
    Key(
        "start.seed",
        0,
        "seed of the start, independent of the study's seeds",
        between(0, 2**32 - 1),
    ),
)
