"""The defense at test time, and options of what else has a name."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between

KEYS: tuple[Key, ...] = (
    Key(
        "defense.name",
        "",
        "registered test-time defense of queries and gallery; attacks are made without it and "
        "through it; '' = none",
        table="defenses",
    ),
    Key("defense.preset", "", "preset of a defense that has presets; '' = the defense's default"),
    Key("defense.options", {}, "further keywords of the registered defense"),
    Key(
        "defense.draws",
        0,
        "draws of a random defense whose features are averaged; 0 = the defense's default",
        between(0, 10_000),
        unit="draws",
    ),
    Key(
        "defense.eot_samples",
        0,
        "draws of a random defense over which an attack averages its gradient in a step; 0 = "
        "enough to see ten draws",
        between(0, 10_000),
        unit="draws",
    ),
    Key("distances", {}, "keywords of registered distances: <name>: {<option>: <value>}"),
    Key("transforms", {}, "keywords of registered transforms: <name>: {<option>: <value>}"),
)
