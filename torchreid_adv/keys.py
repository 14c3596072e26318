"""Every ``adv.*`` config key: default, meaning with its unit, and the values it may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torchreid_adv.pixels import LEVELS

Check = Callable[[Any], str]  # what is wrong with a value, "" when nothing is
ALLOWED: dict[Check, str] = {}  # a check's values in words, for the reference of all keys


def between(low: float, high: float) -> Check:
    """Allow numbers from low to high, both included (and None where that is the default)."""

    def check(value: Any) -> str:
        return "" if value is None or low <= value <= high else f"must be in [{low:g}, {high:g}]"

    ALLOWED[check] = f"{low:,} to {high:,}"
    return check


def one_of(*names: str) -> Check:
    """Allow these strings only."""

    def check(value: Any) -> str:
        return "" if value in names else f"must be one of {', '.join(repr(n) for n in names)}"

    ALLOWED[check] = " or ".join(f"`{name!r}`" for name in names)
    return check


def gray_levels(value: Any) -> str:
    """Allow 0 to 255, and point out a value that was meant in [0, 1]."""
    if isinstance(value, (int, float)) and 0 < value < 1:
        return f"is in gray levels of 255; for {value:.4g} of [0, 1] write {value * LEVELS:.4g}"
    return _within_levels(value)


_within_levels = between(0, LEVELS)
ALLOWED[gray_levels] = ALLOWED[_within_levels]


def each(check: Check) -> Check:
    """Hold every item of a list against a check."""

    def check_all(values: Any) -> str:
        return next(filter(None, map(check, values)), "") if isinstance(values, list) else ""

    ALLOWED[check_all] = f"each {ALLOWED[check]}"
    return check_all


def anything(value: Any) -> str:
    """Allow every value of the right type; names are checked against the registries."""
    return ""


@dataclass(frozen=True)
class Key:
    """One declared key.

    Args:
        name: dotted, below ``adv.``.
        default: value and, unless None, type.
        meaning: what it does, with its unit.
        check: what a value may be.
        kind: the type where the default is None.
        unit: "levels" for a value in gray levels, which is converted once on use; else what a
            number counts, for the reference.
    """

    name: str
    default: Any
    meaning: str
    check: Check = anything
    kind: type = object
    unit: str = ""


KEYS: tuple[Key, ...] = (
    Key("plugins", [], "modules imported before anything is looked up; they register entries"),
    Key("engine", "", "what training or evaluation does besides the stock engine; '' = nothing"),
    Key("attack.name", "ifgsm", "registered attack"),
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
    ),
    Key("attack.targeted", False, "pull towards another identity instead of pushing away"),
    Key(
        "attack.target_map",
        "random",
        "targeted: 'random' (seeded), one pid, or a JSON file {image_id or pid: pid}",
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
        "size that images are attacked and stored at: 'stored' = each its own, 'network' = that of "
        "the network's input, as in much of the literature",
        one_of("stored", "network"),
    ),
    Key(
        "attack.tracklet",
        "frames",
        "noise of a tracklet: 'frames' = each frame its own, 'shared' = one for all frames",
        one_of("frames", "shared"),
    ),
    Key(
        "attack.weights",
        "",
        "file of an attack that was learned before ('universal', 'mis_ranking'), applied as it is",
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
        "attacked together instead of model.name: ['name:weights', 'name@160x64:weights', ...]",
    ),
    Key("attack.options", {}, "further keywords of the registered attack"),
    Key(
        "defense.name",
        "",
        "registered test-time defense of queries and gallery; attacked without and through it; "
        "'' = none",
    ),
    Key("defense.preset", "", "preset of a defense that has some; '' = its own"),
    Key("defense.options", {}, "further keywords of the registered defense"),
    Key(
        "defense.draws",
        0,
        "average the features of so many draws of a random defense; 0 = as it is meant",
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
    Key("data.adversarial_dir", "", "folder holding a manifest.jsonl, for the set 'adversarial'"),
    Key(
        "data.max_pixels",
        25_000_000,
        "largest image that is decoded, pixels",
        between(1, 10**8),
        unit="pixels",
    ),
    Key(
        "evaluation.ap_rule",
        "standard",
        "average precision: 'standard' as torchreid, 'trapezoid' as the metric attack paper",
        one_of("standard", "trapezoid"),
    ),
    Key(
        "evaluation.rerank",
        False,
        "score after k-reciprocal re-ranking, too, as torchreid's test.rerank asks for",
    ),
    Key(
        "evaluation.neighbors",
        "torch",
        "neighbor search of re-ranking: 'torch', or 'faiss' (on GPUs where FAISS has them); the "
        "result is the same",
        one_of("torch", "faiss"),
    ),
    Key(
        "evaluation.block",
        32768,
        "gallery images whose distances are held at a time; connected processes share the blocks",
        between(1, 10**9),
        unit="images",
    ),
    Key(
        "job.chunk",
        16,
        "images attacked together; part of a run's identity",
        between(1, 100_000),
        unit="images",
    ),
    Key(
        "job.threads",
        0,
        "CPU threads of the network; part of a run's identity, because sums are rounded in their "
        "order; 0 = as torch finds it (OMP_NUM_THREADS)",
        between(0, 4096),
        unit="threads",
    ),
    Key(
        "job.copies",
        True,
        "store the images that are not attacked, too, so that the variant is a whole data set",
    ),
    Key("job.shard", "", "i/n: this process does share i (from 0) of n; '' = all, or torchrun's"),
    Key(
        "job.quarantine",
        False,
        "go on without bad images: they are listed, every number is marked partial, exit code 4",
    ),
    Key(
        "transfer.models",
        [],
        "the models of a transfer table: ['label=name@HEIGHTxWIDTH:weights', ...]",
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
    Key("transfer.attacks", ["fgsm", "ifgsm", "mifgsm"], "attacks of a transfer table or sweep"),
    Key(
        "transfer.eps",
        [],
        "bounds, gray levels; [] = adv.attack.eps",
        each(gray_levels),
        unit="gray levels",
    ),
    Key("transfer.metrics", [], "attacked metrics; [] = adv.attack.metric"),
    Key(
        "selection.data",
        "",
        "data set on whose training identities checkpoints are compared during training; neither "
        "trained nor tested on; '' = none",
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
    Key("study.seeds", [1, 2, 3], "of training; a study repeats everything for each of them"),
    Key(
        "study.stills",
        "",
        "image set on which the video studies train the backbone that all their networks start "
        "from; '' = they start as model.pretrained says",
    ),
    Key(
        "study.still_epochs",
        10,
        "of that training",
        between(1, 10**6),
        unit="epochs",
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
    ),
    Key(
        "scenarios.files",
        [],
        "attacks learned before, each against one of the models: "
        "['way.label-DATA=attack:FILE', ...]",
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
    Key(
        "training.mode",
        "online",
        "adversarial_training: 'online' attacks each batch, 'offline' the training set once, with "
        "adv.training.weights frozen",
        one_of("online", "offline"),
    ),
    Key(
        "training.objective",
        "self",
        "online: what the attack makes grow: distance to the own clean feature, 'guided' by the "
        "batch's other images (GOAT), or the 'classification' loss; 'universal' = no search, but "
        "what adv.training.universal holds",
        one_of("self", "guided", "classification", "universal"),
    ),
    Key(
        "training.universal",
        "",
        "objective 'universal': file of a universal perturbation or of a generator, of the bound "
        "adv.training.eps",
    ),
    Key("training.attack", "ifgsm", "offline: registered attack of the training set"),
    Key("training.options", {}, "offline: further keywords of that attack"),
    Key(
        "training.eps",
        5.0,
        "L-infinity bound of the attack in training, gray levels",
        gray_levels,
        unit="levels",
    ),
    Key(
        "training.step_size",
        None,
        "size of one step, gray levels; None = 1 online, the attack's own offline",
        gray_levels,
        float,
        unit="levels",
    ),
    Key(
        "training.steps",
        None,
        "number of steps; None = 7 online, the attack's own offline",
        between(1, 1000),
        int,
        unit="steps",
    ),
    Key(
        "training.start",
        "random",
        "online: start at uniform noise within the bound, or at the clean image",
        one_of("random", "zero"),
    ),
    Key(
        "training.ratio",
        1.0,
        "share of the batch (online) or of the training set (offline) that is attacked",
        between(0.001, 1),
        unit="share",
    ),
    Key(
        "training.mix",
        "both",
        "online: losses are of clean and adversarial images ('both'), of the 'adversarial' ones in "
        "the place of theirs, or of the 'clean' ones, with the others in the consistency only",
        one_of("both", "adversarial", "clean"),
    ),
    Key(
        "training.consistency",
        0.0,
        "online: weight of the squared distance between the unit features of an image and its "
        "adversarial form (TRADES); 0 = none",
        between(0, 10_000),
    ),
    Key(
        "training.batchnorm",
        "shared",
        "online: statistics of clean and adversarial images together, 'separate' (running ones of "
        "the clean images), or 'frozen' running ones",
        one_of("shared", "separate", "frozen"),
    ),
    Key(
        "training.precision",
        "fp32",
        "number format of the training pass and of its attack: 'bf16' = autocast, for GPUs; "
        "weights stay in fp32",
        one_of("fp32", "bf16"),
    ),
    Key(
        "training.weights",
        "",
        "checkpoint of the clean network: attacked offline, and for the report's oblivious rows",
    ),
    Key(
        "training.init",
        "config",
        "offline: train again from what model.* says, or from the 'clean' network's weights",
        one_of("config", "clean"),
    ),
    Key(
        "training.folder",
        "",
        "offline: folder of the adversarial training set; '' = adversarial_train below "
        "data.save_dir",
    ),
    Key(
        "training.evaluate",
        True,
        "evaluations also attack adv.attack.side by adv.attack.*, at the network's input size",
    ),
    Key(
        "training.report",
        [],
        "attacks of the table that is made of the trained checkpoint at the end; [] = no table",
    ),
    Key(
        "meta.perturbation",
        "both",
        "what meta_attack learns: 'color' table, additive 'delta', or 'both'; what meta_defense "
        "takes of adv.attack.weights ('both' = all that is there)",
        one_of("both", "color", "delta"),
    ),
    Key(
        "meta.budget",
        "joint",
        "of both parts within adv.attack.eps: 'joint' = their sum is projected, 'split' = half for "
        "each, 'sum' = all for each, as the released code, which reaches twice the bound",
        one_of("joint", "split", "sum"),
    ),
    Key(
        "meta.learning",
        "meta",
        "'meta' = Algorithms 1 and 2: each step is learned on the sources and tested on "
        "adv.meta.virtual; 'source' = the sources alone, 'joined' = both as one set, 'virtual' = "
        "the virtual set",
        one_of("meta", "source", "joined", "virtual"),
    ),
    Key("meta.virtual", "virtual_b", "the data set of the meta-test, usually a virtual one"),
    Key(
        "meta.loss",
        "triplet",
        "what is learned: reversed 'triplet' within a batch, 'self' = away from an image's own "
        "feature (SMA); of UAP-Retrieval, among cluster centers: pair-wise 'centroids' = the same "
        "triplet, label-wise 'labels' = out of the own cluster, list-wise 'list' = their ranking "
        "reversed",
        one_of("triplet", "self", "centroids", "labels", "list"),
    ),
    Key("meta.margin", 0.5, "of the triplets, in the attacked distance's unit", between(0, 1000)),
    Key(
        "meta.centroids",
        512,
        "cluster centers of adv.meta.loss centroids, labels and list",
        between(2, 10**6),
        unit="clusters",
    ),
    Key(
        "meta.inner",
        "sign",
        "step before the meta-test: 'sign' as the paper, or 'sgd' = along the gradient itself",
        one_of("sign", "sgd"),
    ),
    Key(
        "meta.order",
        1,
        "2 = differentiate through an 'sgd' inner step, too; through signs the two are the same",
        between(1, 2),
    ),
    Key(
        "meta.inner_step_size",
        None,
        "of the inner step, gray levels ('sgd': mean over the entries); None = that of the step",
        gray_levels,
        float,
        unit="levels",
    ),
    Key("meta.decay", 0.01, "an epoch multiplies the step size by exp(-decay)", between(0, 100)),
    Key(
        "meta.iterations",
        0,
        "batches of an epoch of meta_attack, meta_defense, mis_ranking; 0 = as many as there are",
        between(0, 10**9),
        unit="batches",
    ),
    Key(
        "meta.ratio",
        0.5,
        "meta_defense: random share of a batch that also comes in its adversarial form",
        between(0, 1),
        unit="share",
    ),
    Key(
        "meta.defense_order",
        "1",
        "meta_defense: '2' = differentiate through the step before the meta-test, as the paper; "
        "'fd' = the same by finite differences; '1' = take that step as given",
        one_of("1", "2", "fd"),
    ),
    Key(
        "meta.inner_lr",
        None,
        "meta_defense: learning rate of the step before the meta-test; None = the training's",
        between(0, 1000),
        float,
    ),
    Key(
        "meta.clip",
        0.0,
        "meta_defense: longest gradient of a step; 0 = any length",
        between(0, 10**9),
    ),
    Key(
        "mis_ranking.weight",
        10.0,
        "of the misranking beside that of looking real; the released code has 2 against PCB",
        between(0, 10**6),
    ),
    Key(
        "mis_ranking.margin",
        0.3,
        "of its triplet, in the attacked distance's unit",
        between(0, 1000),
    ),
    Key(
        "mis_ranking.identity",
        True,
        "also towards the identity that the network's own classifier finds least likely",
    ),
    Key("mis_ranking.lr", 0.0002, "learning rate of generator and discriminator", between(0, 1)),
    Key(
        "mis_ranking.filters",
        32,
        "of the generator's first convolution",
        between(1, 512),
        unit="channels",
    ),
    Key("mis_ranking.blocks", 6, "residual blocks of the generator", between(0, 64), unit="blocks"),
    Key(
        "mis_ranking.pixels",
        1.0,
        "share of an image's pixels that may move, chosen by the generator; 1 = all",
        between(0.0001, 1),
        unit="share",
    ),
    Key(
        "video.min_length",
        12,
        "shorter tracklets of visible-infrared sets are left out, frames",
        between(1, 10**6),
        unit="frames",
    ),
    Key(
        "video.sync_transforms",
        False,
        "draw random transforms once for a tracklet, not for each frame",
    ),
    Key(
        "video.backbone",
        "",
        "checkpoint of the video network's ResNet to start from in place of ImageNet's, as "
        "torchvision or torchreid saves one",
    ),
    Key("video.attack", True, "the video network has the self-attack (ASAM)"),
    Key("video.defense", True, "the video network's defender has cross-attention (CMCA of ADM)"),
    Key(
        "video.guidance",
        "full",
        "spatial-temporal guidance (FRM-STIG) of the video network: 'full', 'no_spatial' = without "
        "the LSTM over body parts, 'temporal' = FR-E-TI alone, 'none'",
        one_of("full", "no_spatial", "temporal", "none"),
    ),
    Key(
        "video.alone",
        "self",
        "without guidance, cross-attention of a test tracklet, which has no partner: to itself "
        "('self'), or none ('skip')",
        one_of("self", "skip"),
    ),
    Key(
        "video.cross_query",
        "self",
        "cross-attention's queries are of the map that it is added to, or of the 'other'",
        one_of("self", "other"),
    ),
    Key(
        "video.update",
        "alternate",
        "vi_self_attack: 'alternate' = three updates a batch (Algorithm 1), 'joint' = one (eq. 17)",
        one_of("alternate", "joint"),
    ),
    Key(
        "video.first_epochs",
        150,
        "vi_self_attack: epochs before the defender's classifier is fixed (Step I of Algorithm 1)",
        between(0, 10**6),
        unit="epochs",
    ),
    Key(
        "video.weights",
        [1.0, 0.5, 0.5],
        "vi_self_attack: lambda 1 to 3 of eq. 17: the attacker's own identities, the defense, body "
        "parts",
        each(between(0, 1000)),
    ),
    Key(
        "video.triplet",
        "plain",
        "vi_self_attack: distance of the defense's triplets: 'plain', 'squared' as eq. 10 prints "
        "it, 'pooled' = plain, before the BatchNorm",
        one_of("plain", "squared", "pooled"),
    ),
    Key(
        "video.warmup",
        10,
        "vi_self_attack: epochs over which the learning rate rises to the schedule's; 0 = none",
        between(0, 10**6),
        unit="epochs",
    ),
    Key(
        "video.replace",
        False,
        "cross-modality samplers draw an identity's tracklets with replacement, as MITML",
    ),
    Key(
        "pictures.models",
        [],
        "models drawn side by side, the normal one first: ['label=name:weights', ...]; [] with "
        "adv.virtual.train_model = N and DL, trained for it",
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
        "budgets of the standard evaluation: 'standard', 'lite' for CPUs, 'plus' with restarts",
        one_of("standard", "lite", "plus"),
    ),
    Key(
        "standard.models",
        [],
        "models it evaluates: ['label=name@HEIGHTxWIDTH@MEAN/STD:weights', ...], of which size, "
        "mean and std may be left to data.*; name = a network's, or torchscript, export, onnx with "
        "a file in the place of weights, python with module:function; [] = model.name",
    ),
    Key(
        "standard.surrogates",
        [],
        "two other models or more, on which transferred attacks are made; without weights where "
        "adv.virtual.train_model trains them",
    ),
    Key(
        "standard.tracks",
        ["Q", "G"],
        "what is attacked: 'Q' = queries, 'G' = gallery",
        each(one_of("Q", "G")),
    ),
    Key(
        "report.page",
        True,
        "write report.html with its pictures beside results.json, standard.json",
    ),
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
        "images of a person by each of them; in testing one is the query",
        between(2, 50),
        unit="images",
    ),
    Key(
        "virtual.distractors",
        100,
        "gallery images of people who match nobody",
        between(0, 10**5),
        unit="images",
    ),
    Key("virtual.seed", 0, "another seed gives other people", between(0, 2**32 - 1)),
    Key("virtual.height", 128, "image height, pixels", between(64, 512), unit="pixels"),
    Key("virtual.width", 64, "image width, pixels", between(32, 256), unit="pixels"),
    Key(
        "virtual.frames",
        12,
        "frames of a walking tracklet; virtual_vi_* only",
        between(2, 500),
        unit="frames",
    ),
    Key(
        "virtual.tracklets",
        1,
        "tracklets of a person by each camera and modality; virtual_vi_* only",
        between(1, 20),
        unit="tracklets",
    ),
    Key(
        "virtual.train_model",
        False,
        "attack-gallery trains the model itself when model.load_weights is empty (quick start)",
    ),
)
