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
        "labels of the models that are attacked, 'a+b' for both together, '-a' for all but one; "
        "[] = each by itself",
    ),
    Key(
        "transfer.paper",
        "",
        "a paper's table to print beside ours where labels agree: 'bai2019.table2', table3, table4",
    ),
    Key("transfer.tested", [], "labels of the models that are tested; [] = all"),
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
        "data set on whose training identities checkpoints are compared during training; neither "
        "trained nor tested on; '' = none",
        table="datasets",
    ),
    Key("selection.every", 5, "epochs between two looks", between(1, 10**6), unit="epochs"),
    Key(
        "selection.identities",
        100,
        "training identities looked at",
        between(2, 10**6),
        unit="identities",
    ),
    Key("selection.seed", 0, "of their draw", between(0, 2**32 - 1)),
    Key(
        "loss.triplet",
        "",
        "triplet loss of engines that have one: '' = theirs, on the hardest images of a batch, "
        "'weighted' = AGW's, on all of them, which has no margin",
        one_of("", "weighted"),
    ),
    Key("study.models", [], "the models a study trains: ['label=name', 'label=name@160x64', ...]"),
    Key(
        "study.seeds",
        [1, 2, 3, 4, 5],
        "of training; a study repeats everything for each of them, and decides nothing with fewer "
        "than five",
    ),
    Key(
        "study.orders",
        1,
        "of the studies universal and meta_defense: batch orders in which everything besides the "
        "networks is learned, for each seed; seeds and orders together are the runs that decide a "
        "claim, five at least",
        between(1, 1000),
    ),
    Key(
        "study.calibration",
        "",
        "study.json of torchreid-adv study calibration on the same networks, which says what they "
        "can decide; '' = calibration.json in data.save_dir, if there is one",
        path=True,
    ),
    Key(
        "study.methods",
        [
            *("plain", "universal_free", "free", "fgsm_rs", "n_fgsm", "atas", "gradalign"),
            *("est", "act", "hm", "pgd"),
        ],
        "of the study cheap_training: how the clean network is trained on, 'plain' or an "
        "adv.training.method",
    ),
    Key(
        "study.robust_epochs",
        4,
        "of the study cheap_training: epochs of each method from a clean network",
        between(1, 10**6),
        unit="epochs",
    ),
    Key(
        "study.robust_lr",
        0.001,
        "of the study cheap_training: learning rate of these epochs",
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
        "image set on which the video studies train the backbone that all their networks start "
        "from; '' = they start as model.pretrained says",
        table="datasets",
    ),
    Key(
        "study.still_epochs",
        10,
        "of that training",
        between(1, 10**6),
        unit="epochs",
    ),
    Key(
        "study.longer",
        1.0,
        "of the study defense: epochs of CF and DL over those of N; 2 in the paper, so that what "
        "they gain or cost at 1 is not the schedule's",
        between(1, 100),
    ),
    Key(
        "study.weights",
        [[0.1, 1.0, 9.0], [0.01, 0.5, 4.0], [0.1, 0.5, 5.0]],
        "of the study video_weights: what lambda 1, 2 and 3 of adv.video.weights are set to, one "
        "at a time",
    ),
    Key(
        "zoo",
        {},
        "models of a zoo: {<name>: {<key>: <value>}}, each with the keys in which it differs from "
        "the rest; the first is the clean network, one with model.load_weights is not trained",
    ),
    Key(
        "scenarios.models",
        [],
        "the models of scenarios, each called after the data set it was trained on: "
        "['label-DATA=name@HEIGHTxWIDTH:weights', ...]; [] = adv.study.models, trained on each of "
        "data.sources and data.targets",
        path=True,
    ),
    Key(
        "scenarios.learned",
        [],
        "of these the ones perturbations are learned against; [] = the first one of data.sources",
    ),
    Key(
        "scenarios.perturbations",
        ["color", "delta", "both"],
        "what is learned, see adv.meta.perturbation",
    ),
    Key(
        "scenarios.learning",
        ["source", "meta"],
        "how each is learned, see adv.meta.learning",
    ),
    Key(
        "scenarios.eps",
        [],
        "further bounds, gray levels, at which the last perturbation is learned the last way",
        each(gray_levels),
        unit="gray levels",
        kind=float,
    ),
    Key(
        "scenarios.files",
        [],
        "attacks learned before, each against one of the models: "
        "['way.label-DATA=attack:FILE', ...]",
        path=True,
    ),
    Key("scenarios.extra", [], "meta-test sets of the papers' tables that compare several"),
    Key("scenarios.epochs", 10, "of learning a perturbation", between(1, 10**6), unit="epochs"),
    Key("scenarios.batch", 64, "images of a batch of it", between(2, 10**6), unit="images"),
    Key(
        "scenarios.instances",
        8,
        "images of an identity in such a batch",
        between(1, 10**6),
        unit="images",
    ),
)
