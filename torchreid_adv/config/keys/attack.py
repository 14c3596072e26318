"""The attack, and the plugins that are loaded with it."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, gray_levels, one_of

KEYS: tuple[Key, ...] = (
    Key("plugins", [], "modules to import first; they register entries"),
    Key(
        "engine",
        "",
        "addition to torchreid's engine, in training or evaluation; '' = none",
        table="engines",
    ),
    Key("attack.name", "ifgsm", "registered attack", table="attacks"),
    Key("attack.eps", 5.0, "L-infinity bound, gray levels", gray_levels, unit="levels"),
    Key(
        "attack.step_size",
        None,
        "size of one step, gray levels; None = the attack's own",
        gray_levels,
        float,
        unit="levels",
    ),
    Key(
        "attack.steps",
        None,
        "number of steps; None = the attack's own rule",
        between(1, 100_000),
        int,
        unit="steps",
    ),
    Key(
        "attack.momentum",
        None,
        "decay of the gradient's running sum; None = the attack's own",
        between(0, 10),
        float,
    ),
    Key(
        "attack.metric",
        "",
        "distance to attack, registered or module:function; '' = the one of the evaluation",
        table="distances",
    ),
    Key("attack.targeted", False, "pull toward another identity instead of pushing away"),
    Key(
        "attack.target_map",
        "random",
        "targeted: 'random' (seeded), one pid, or a JSON file {image_id or pid: pid}; an image for "
        "which the file names no other identity is not changed",
        path=True,
    ),
    Key(
        "attack.side",
        "gallery",
        "which images are attacked; the other side stays clean",
        one_of("gallery", "query"),
    ),
    Key(
        "attack.reference",
        "",
        "reference features of an image: the same identity's images on the other side, from all "
        "cameras or from other cameras only; '' = all for a gallery, other for a query",
        one_of("", "all", "other"),
    ),
    Key(
        "attack.space",
        "stored",
        "size at which images are attacked and stored: 'stored' = that of each image, 'network' "
        "= the network's input size, as in much of the literature",
        one_of("stored", "network"),
    ),
    Key(
        "attack.tracklet",
        "frames",
        "noise of a tracklet: 'frames' = one per frame, 'shared' = one for all frames",
        one_of("frames", "shared"),
    ),
    Key(
        "attack.weights",
        "",
        "file of a learned attack ('universal', 'mis_ranking'), applied without learning it again",
        path=True,
    ),
    Key("attack.seed", 0, "seed of every random draw of the attack", between(0, 2**63 - 1)),
    Key(
        "attack.precision",
        "fp32",
        "number format of the network during the attack",
        one_of("fp32", "bf16"),
    ),
    Key(
        "attack.models",
        [],
        "models attacked as one, instead of model.name: ['name:weights', 'name@160x64:weights', "
        "...]",
        path=True,
    ),
    Key(
        "attack.options",
        {},
        "further keywords of the registered attack; with several attacks, below the name of one, "
        "as in {lta: {legacy: True}}, also step_size, steps and momentum",
    ),
)
