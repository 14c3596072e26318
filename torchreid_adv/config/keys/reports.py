"""Pictures, the standard evaluation, the report."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, each, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "pictures.models",
        [],
        "models to show side by side, the normal one first: ['label=name:weights', ...]; [] with "
        "adv.virtual.train_model = N and DL, which are trained first",
        path=True,
    ),
    Key(
        "pictures.rows",
        ["B", "B+ASAM+ADM+FRM-STIG"],
        "tracklets: networks to train and show if pictures.models is empty, in the terms of the "
        "paper's table 1 (B, ASAM, ADM, FR-E-TI, FRM-STIG, FRM-STIG*)",
    ),
    Key(
        "pictures.identities",
        6,
        "people in the pictures of features",
        between(2, 8),
        unit="identities",
    ),
    Key(
        "standard.version",
        "standard",
        "budgets of the standard evaluation: 'standard', 'lite' for CPUs, 'plus' with restarts; "
        "'standard-2' and 'lite-2' spend them in rounds, see docs/standard.md",
        one_of("standard", "lite", "plus", "standard-2", "lite-2"),
    ),
    Key(
        "standard.models",
        [],
        "models to evaluate: ['label=name@HEIGHTxWIDTH@MEAN/STD:weights', ...]; size, mean and std "
        "may be left to data.*; name = a network, or torchscript, export or onnx with a file "
        "instead of weights, or python with module:function; [] = model.name",
        path=True,
    ),
    Key(
        "standard.surrogates",
        [],
        "two or more other models, on which transferred attacks are made; without weights if "
        "adv.virtual.train_model trains them",
        path=True,
    ),
    Key(
        "standard.tracks",
        ["Q", "G"],
        "images to attack: 'Q' = queries, 'G' = gallery",
        each(one_of("Q", "G")),
    ),
    Key(
        "card.version",
        "full",
        "budgets of the robustness card: 'full', or 'lite' for CPUs; see docs/card.md",
        one_of("full", "lite"),
    ),
    Key(
        "card.reference",
        "",
        "card.json of another model for comparison, or its folder; '' = none. It has to be of the "
        "same data set and version",
        path=True,
    ),
    Key(
        "report.page",
        True,
        "write report.html with its pictures next to results.json or standard.json",
    ),
    Key(
        "report.loggers",
        [],
        "loggers of metrics: 'tensorboard', or names that packages register as entry "
        "points of the group torchreid_adv.loggers",
    ),
)
