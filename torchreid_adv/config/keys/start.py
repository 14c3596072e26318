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
        "data sets on which each network of a study is trained once, before anything else: all "
        "that the study trains starts from these weights; other people than in data.sources and "
        "data.targets; [] = from random weights",
    ),
    Key(
        "start.identities",
        350,
        "virtual people of each of these sets",
        between(2, 1501),
        unit="identities",
    ),
    Key("start.epochs", 16, "of that training", between(1, 10**6), unit="epochs"),
    Key(
        "start.half_size",
        8,
        "the first of them, at half the height and width, which take a quarter of the time",
        between(0, 10**6),
        unit="epochs",
    ),
    Key("start.warmup", 2, "of them with a rising rate", between(0, 10**6), unit="epochs"),
    Key("start.lr", 0.004, "highest learning rate of that training", between(1e-12, 1000)),
    Key("start.batch", 64, "images of a batch of it", between(2, 10**6), unit="images"),
    Key("start.seed", 0, "of that training, whatever the study's seeds", between(0, 2**32 - 1)),
)
