"""Pictures, the standard evaluation, the report."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, each, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "pictures.models",
        [],
        "models drawn side by side, the normal one first: ['label=name:weights', ...]; [] with "
        "adv.virtual.train_model = N and DL, trained for it",
        path=True,
    ),
    Key(
        "pictures.rows",
        ["B", "B+ASAM+ADM+FRM-STIG"],
        "of tracklets: the networks to train and draw where pictures.models is empty, in the words "
        "of the paper's table 1 (B, ASAM, ADM, FR-E-TI, FRM-STIG, FRM-STIG*)",
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
        "models it evaluates: ['label=name@HEIGHTxWIDTH@MEAN/STD:weights', ...], of which size, "
        "mean and std may be left to data.*; name = a network's, or torchscript, export, onnx with "
        "a file in the place of weights, python with module:function; [] = model.name",
        path=True,
    ),
    Key(
        "standard.surrogates",
        [],
        "two other models or more, on which transferred attacks are made; without weights where "
        "adv.virtual.train_model trains them",
        path=True,
    ),
    Key(
        "standard.tracks",
        ["Q", "G"],
        "what is attacked: 'Q' = queries, 'G' = gallery",
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
        "write report.html with its pictures beside results.json, standard.json",
    ),
    Key(
        "report.loggers",
        [],
        "where metrics are logged, too: 'tensorboard', or names that packages register as entry "
        "points of the group torchreid_adv.loggers",
    ),
)
