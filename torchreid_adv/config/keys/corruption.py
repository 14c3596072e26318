"""Corrupted data sets, and how a model is tested on them."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "corruption.kinds",
        [],
        "corruptions to draw from for each image, or a single one; [] = the 20 published kinds",
        table="corruptions",
    ),
    Key("corruption.severity", 0, "severity from 1 to 5; 0 = drawn for each image", between(0, 5)),
    Key(
        "corruption.draw",
        0,
        "number of the draw: each number gives other kinds, severities and noise",
        between(0, 2**31 - 1),
    ),
    Key(
        "corruption.side",
        "both",
        "images to corrupt: 'query', 'gallery' or 'both'",
        one_of("query", "gallery", "both"),
    ),
    Key(
        "corruption.scale",
        "published",
        "radii in pixels: 'published' = those for images 224 pixels high, at any size; 'input' = "
        "multiplied by height / 224",
        one_of("published", "input"),
    ),
    Key(
        "corruption.repeats",
        10,
        "draws that corruption-report averages, starting with adv.corruption.draw",
        between(1, 1000),
        unit="draws",
    ),
    Key(
        "corruption.grid",
        True,
        "corruption-report also corrupts the queries by each kind at each severity",
    ),
)
