"""Several models: tables, choosing checkpoints, studies, the zoo, scenarios."""

from __future__ import annotations

from torchreid_adv.config.keys.key import Key, between, each, gray_levels, one_of

KEYS: tuple[Key, ...] = (
    Key(
        "transfer.models",
        [],
        "the models of a transfer table: ['label=name@HEIGHTxWIDTH:weights', ...]",
        path=True,
    ),
    Key(
        "transfer.attacked",
        [],
        "labels of the attacked models: 'a+b' = both together, '-a' = all but a; [] = each of them "
        "separately",
    ),
    Key(
        "transfer.paper",
        "",
        "a paper's table, shown next to ours where labels agree: 'bai2019.table2', table3, table4",
    ),
    Key("transfer.tested", [], "labels of the tested models; [] = all"),
    Key(
        "transfer.attacks",
        ["fgsm", "ifgsm", "mifgsm"],
        "attacks of a transfer table or sweep",
        table="attacks",
    ),
    Key(
        "transfer.eps",
        [],
        "bounds, gray levels; [] = adv.attack.eps",
        each(gray_levels),
        unit="gray levels",
        kind=float,
    ),
    Key("transfer.metrics", [], "attacked metrics; [] = adv.attack.metric", table="distances"),
    Key(
        "selection.data",
        "",
        "data set whose training identities are used to compare checkpoints during training; not "
        "used for training or testing; '' = none",
        table="datasets",
    ),
    Key("selection.every", 5, "epochs between two comparisons", between(1, 10**6), unit="epochs"),
    Key(
        "selection.identities",
        100,
        "training identities used to compare checkpoints",
        between(2, 10**6),
        unit="identities",
    ),
    Key("selection.seed", 0, "seed of the draw of these identities", between(0, 2**32 - 1)),
    Key(
        "loss.triplet",
        "",
        "triplet loss of engines that have one: '' = the engine's, on the hardest images of a "
        "batch; 'weighted' = AGW's, on all images and without a margin",
        one_of("", "weighted"),
    ),
    Key("study.models", [], "models that a study trains: ['label=name', 'label=name@160x64', ...]"),
    Key(
        "study.seeds",
        [1, 2, 3, 4, 5],
        "training seeds; a study repeats everything for each, and decides nothing with fewer than "
        "five",
    ),
    Key(
        "study.orders",
        1,
        "studies universal and meta_defense: batch orders per seed in which the perturbations are "
        "learned; every pair of seed and order is a run, and a claim needs at least five",
        between(1, 1000),
    ),
    Key(
        "study.calibration",
        "",
        "study.json of torchreid-adv study calibration on the same networks, which says which "
        "claims they can decide; '' = calibration.json in data.save_dir, if it exists",
        path=True,
    ),
    Key(
        "study.methods",
        [
            *("plain", "universal_free", "free", "fgsm_rs", "n_fgsm", "atas", "gradalign"),
            *("est", "act", "hm", "pgd"),
        ],
        "of the studies cheap_training and ensemble: how the clean network is trained on, 'plain' "
        "or an adv.training.method",
    ),
    Key(
        "study.robust_epochs",
        4,
        "of the studies cheap_training and ensemble: epochs of each method from a clean network",
        between(1, 10**6),
        unit="epochs",
    ),
    Key(
        "study.robust_lr",
        0.001,
        "of the studies cheap_training and ensemble: learning rate of these epochs",
        between(1e-9, 1000),
    ),
    Key(
        "study.from_random",
        False,
        "of the study cheap_training: train each method from random weights, too, for as many "
        "epochs in all, while the bound rises over the first third",
    ),
    Key(
        "study.stills",
        "",
        "image set on which the video studies train the common backbone of their networks; '' = "
        "start as model.pretrained says",
        table="datasets",
    ),
    Key(
        "study.still_epochs",
        10,
        "epochs of the backbone's training",
        between(1, 10**6),
        unit="epochs",
    ),
    Key(
        "study.longer",
        1.0,
        "study defense: epochs of CF and DL divided by those of N; 2 in the paper; at 1, a "
        "difference cannot come from the longer schedule",
        between(1, 100),
    ),
    Key(
        "study.weights",
        [[0.1, 1.0, 9.0], [0.01, 0.5, 4.0], [0.1, 0.5, 5.0]],
        "study video_weights: values of lambda 1, 2 and 3 of adv.video.weights, changed one at a "
        "time",
    ),
    Key(
        "zoo",
        {},
        "models of a zoo: {<name>: {<key>: <value>}}, with the keys that differ from the config; "
        "the first model is the clean network; a model with model.load_weights is not trained",
    ),
    Key(
        "scenarios.models",
        [],
        "the models of scenarios, named after their training sets: "
        "['label-DATA=name@HEIGHTxWIDTH:weights', ...]; [] = adv.study.models, trained on each of "
        "data.sources and data.targets",
        path=True,
    ),
    Key(
        "scenarios.learned",
        [],
        "models that perturbations are learned against; [] = the first one of data.sources",
    ),
    Key(
        "scenarios.perturbations",
        ["color", "delta", "both"],
        "kinds of perturbations, see adv.meta.perturbation",
    ),
    Key(
        "scenarios.learning",
        ["source", "meta"],
        "ways of learning each perturbation, see adv.meta.learning",
    ),
    Key(
        "scenarios.eps",
        [],
        "further bounds, gray levels, for the last perturbation and the last way of learning",
        each(gray_levels),
        unit="gray levels",
        kind=float,
    ),
    Key(
        "scenarios.files",
        [],
        "files of learned attacks, each learned against one of the models: "
        "['way.label-DATA=attack:FILE', ...]",
        path=True,
    ),
    Key(
        "scenarios.extra", [], "further meta-test sets, for the papers' tables that compare several"
    ),
    Key(
        "scenarios.epochs",
        10,
        "epochs of learning a perturbation",
        between(1, 10**6),
        unit="epochs",
    ),
    Key("scenarios.batch", 64, "images per batch", between(2, 10**6), unit="images"),
    Key(
        "scenarios.instances",
        8,
        "images of an identity in a batch",
        between(1, 10**6),
        unit="images",
    ),
)
