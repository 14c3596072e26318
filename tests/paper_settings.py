"""What the papers say of how their tables are made, written out from their text.

Nothing here is computed by the package or read from its tables and configs. A value that a paper
leaves open is not held against anything, or its line says where it comes from instead.
"""

from dataclasses import dataclass, field
from itertools import product
from typing import Any

FINAL = (256, 128)  # joint defense, 3.2: "the size is uniformly resized to [256, 128]"
A, B = (110, 50), (220, 100)  # the same: "to [110, 50] then to [220, 100]"
C, D = (90, 40), (200, 90)  # 4.2: "[90, 40] then to [200, 90], then to [90, 40] again"
JAD = (A, B, A, FINAL)
JAD2 = (C, D, C, FINAL)
PAD = (5,)  # 4.2: "pad(5)"
JAD3 = (A, B, PAD, A, FINAL)  # "adds pad(5) operation on the basis of our JAD"; where is not said
RRP = (A, PAD, FINAL)  # 4.2: "reszie(110,50) and pad(5)"
STEPS = {  # name -> eps, step, steps, momentum; None = not said
    # Bai et al., 5: alpha = 1, mu = 1, n = min(eps + 4, 1.25 eps), truncated as by Kurakin et al.
    "fgsm": (5.0, None, 1, None),
    "ifgsm": (5.0, 1.0, 6, None),
    "mifgsm": (5.0, 1.0, 6, 1.0),
    "classification_ifgsm": (5.0, 1.0, 6, None),  # 5.1: "classification attack via I-FGSM"
}
JOINT = {  # joint defense, 4.1: "5 pixels, step size 1, number of basic iterations 15"; eq. 4: 1
    "ifgsm": (5.0, 1.0, 15, 0.0),
    "sma": (5.0, 1.0, 15, 0.0),
    "lta": (5.0, 1.0, 15, 1.0),
    "lta_minus": (5.0, 1.0, 15, 1.0),
}
OTHER_WEIGHTS = {  # what an attack on the same network with other weights is called, and where
    "bai2019": ("black", "3.4.1: 'differs in structures, parameters or both'"),
    "joint_defense": ("gray", "2.1: 'used to attack another which differs in parameters'"),
    "meta": ("black", "5.1: 'cross-dataset & cross-model attacks belong to black-box'"),
}
Cell = tuple[str, str, str, tuple]  # attack, attacked, tested, what stands before it


@dataclass(frozen=True)
class Printed:
    """How a table is made.

    Args:
        place: in the paper.
        cells: what is scored: attack ("" = none), attacked, tested, what stands before the tested
            network: sizes [height, width] and borders.
        attacks: name -> eps, step, steps, momentum.
        side: that is attacked.
        space: size at which it is.
        metrics: that are attacked.
        ranked: distance and whether features are normalized, of the evaluation.
        reranked: whether scores are made again after re-ranking.
        ap_rule: of the average precision.
        interpolation: from stored images to the input.
        learned: how perturbations are learned: key -> value; of ``ways``.
        ways: name -> what is learned, from what, bound.
    """

    place: str
    cells: set[Cell] = field(default_factory=set)
    attacks: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    side: str = "gallery"
    space: str = "stored"
    metrics: frozenset[str] = frozenset({"euclidean"})
    ranked: frozenset[tuple[str, bool]] = frozenset({("euclidean", True)})
    reranked: bool = False
    ap_rule: str = "trapezoid"
    interpolation: str = "bilinear"
    learned: dict[str, Any] = field(default_factory=dict)
    ways: dict[str, tuple[str, str, float]] = field(default_factory=dict)


def clean(labels, behind=()):
    return {("", "", label, behind) for label in labels}


def itself(attacks, labels, behind=()):
    return {(a, label, label, behind) for a, label in product(attacks, labels)}


BASE, OTHERS = ("B1", "B2", "B3", "B4"), ("HA",)
THREE = ("fgsm", "ifgsm", "mifgsm")
SINGLE = {(a, m, t, ()) for a, m, t in product(THREE, BASE, (*BASE, *OTHERS))}
TOGETHER = {"+".join(b for b in BASE if b != out): out for out in BASE}
ENSEMBLES = {
    (a, group, tested, ())
    for a, (group, out) in product(THREE, TOGETHER.items())
    for tested in (out, "ensemble", *OTHERS)
}
PRESERVING = tuple(f"{label}-M" for label in BASE)
FIVE = {("ifgsm", m, t, ()) for m, t in product(BASE, (*BASE, *PRESERVING))}
FIVE |= itself(("ifgsm",), PRESERVING) | clean((*BASE, *PRESERVING))
BAI = {name: STEPS[name] for name in THREE}

WHITE = ("ifgsm", "sma", "lta")
ATTACKED = {name: JOINT[name] for name in WHITE}
ON_JOINT = {  # 4.1 to 4.2; the released code resizes by bicubic interpolation, then attacks queries
    "side": "query",
    "space": "network",
    "interpolation": "bicubic",
}
AFTER = {**ON_JOINT, "reranked": True}  # 4.1: "if we do not specify ... tested with reranking"
SEVEN = clean(("N", *(AT := ("AT_ifgsm", "AT_sma", "AT_lta")))) | itself(WHITE, ("N",))
SEVEN |= {(a, f"AT_{a}", f"AT_{a}", b) for a in WHITE for b in ((), JAD, RRP)}
SEVEN |= clean(AT, JAD) | clean(AT, RRP)
for chain in (JAD, JAD2, JAD3):
    SEVEN |= clean(("DL",), chain) | itself(WHITE, ("DL",), chain)
SIX = clean(("N",)) | itself(("lta",), ("N",))
for chain in ((A, FINAL), (B, FINAL), (A, B, FINAL), JAD):
    SIX |= clean(("N",), chain) | itself(("lta",), ("N",), chain)
EIGHT = {("", "", t, ()) for t in ("N", "AT_dmr", "SB", "FR")}
EIGHT |= {("", "", "AT_dmr", RRP)} | clean(("DL", "SB-DL", "FR-DL"), JAD)
EIGHT |= {("mis_ranking", "R50", tested, behind) for _, _, tested, behind in EIGHT}
FIG9 = {
    cell
    for border in range(11)
    for behind in ((A, (border,), FINAL),)
    for cell in (
        clean(("N", "AT_sma", "DL"), behind) | itself(("sma",), ("N", "AT_sma", "DL"), behind)
    )
}

RAW = frozenset({("euclidean", False)})  # universal attackers: the released code, as they are
LEARNED = {  # 5.1: N_b = 64, T = 10, m = 0.5, alpha = eps / 10, x = y = z = 25, momentum
    "train.batch_size": 64,
    "train.max_epoch": 10,
    "adv.meta.margin": 0.5,
    "adv.meta.cells": 25,
    "adv.meta.inner": "sign",
    "adv.attack.step_size": None,  # a tenth of the bound, see STEPS_TO_BOUND
    "adv.attack.momentum": None,  # 1
    "adv.meta.loss": "triplet",
    "adv.attack.metric": "",  # eq. 5: L2 distance of the features
}
UNIVERSAL = {
    "side": "query",  # 5.1: "We perturb the query set"
    "space": "network",
    "ranked": RAW,
    "ap_rule": "standard",
    "learned": LEARNED,
}
KINDS = ("color", "delta", "both")
PLAIN = {kind: (kind, "source", 8.0) for kind in KINDS}  # 5.1: "epsilon = 8/255"
META = {f"meta {kind}": (kind, "meta", 8.0) for kind in KINDS}
UAPR = {"UAP-Retrieval": ("delta", "source", 8.0)}  # "UAP-Retrieval [18]": additive

PRINTED = {
    "bai2019.table1": Printed("table 1", clean((*BASE, *OTHERS))),
    "bai2019.table2": Printed("5.1, table 2", SINGLE, BAI),
    "bai2019.table3": Printed("5.1, table 3", SINGLE, BAI),
    "bai2019.table4": Printed("5.2, table 4", ENSEMBLES, BAI),
    "bai2019.table5": Printed("4 and 5.5, table 5", FIVE, {"ifgsm": STEPS["ifgsm"]}),
    "bai2019.fig3": Printed("figure 3, of tables 1 to 3", SINGLE, BAI),
    "bai2019.fig5": Printed(
        "5.4, figure 5",
        {(attack, "B1", "B1", ()) for attack in ("fgsm", "ifgsm")},
        metrics=frozenset({"euclidean", "xqda"}),
        ranked=frozenset({("euclidean", True), ("xqda", True)}),
    ),
    "bai2019.text": Printed(
        "5.1 and 5.4",
        clean(("B1",)) | itself(("ifgsm", "classification_ifgsm"), ("B1",)),
        {name: STEPS[name] for name in ("ifgsm", "classification_ifgsm")},
        metrics=frozenset({"euclidean", "identity logits"}),
        ranked=frozenset({("euclidean", True), ("xqda", True)}),
    ),
    "joint_defense.table1": Printed(
        "4.1, table 1: original .884 and .721 are table 3's without RK",
        clean(("N",)) | itself(("sma", "lta_minus", "lta"), ("N",)),
        {name: JOINT[name] for name in ("sma", "lta_minus", "lta")},
        **ON_JOINT,
    ),
    "joint_defense.table2": Printed("4.1, table 2", clean(("N", "DL-star", "DL")), **AFTER),
    "joint_defense.table3": Printed("table 3", clean(("N",)) | clean(("DL",), JAD), **AFTER),
    "joint_defense.table4": Printed(
        "table 4", itself(WHITE, ("N",)) | itself(WHITE, ("DL",), JAD), ATTACKED, **AFTER
    ),
    "joint_defense.table5": Printed(
        "4.2, table 5",
        clean(("N", "CF", "DL"))
        | clean(("DL",), JAD)
        | itself(WHITE, ("N", "CF", "DL"))
        | itself(WHITE, ("DL",), JAD),
        ATTACKED,
        **AFTER,
    ),
    "joint_defense.table6": Printed("4.2, table 6", SIX, {"lta": JOINT["lta"]}, **AFTER),
    "joint_defense.table7": Printed("4.2, table 7", SEVEN, ATTACKED, **AFTER),
    "joint_defense.table8": Printed(
        "4.2, table 8: the bound is not said",
        EIGHT,
        {"mis_ranking": (None, None, None, None)},
        **AFTER,
    ),
    "joint_defense.table9": Printed(
        "4.2, table 9: which attack is not said; figure 11 has SMA",
        {("sma", "N2", "N", ()), ("sma", "DL", "N", ())},
        {"sma": JOINT["sma"]},
        **AFTER,
    ),
    "joint_defense.fig6": Printed(
        "3.2, figure 6, before re-ranking is spoken of",
        clean(("N", "CF", "DL-star", "DL", *AT, "AT_dmr", "SMA2")),
        **ON_JOINT,
    ),
    "joint_defense.fig9": Printed("4.2, figure 9", FIG9, {"sma": JOINT["sma"]}, **AFTER),
    "meta.table1": Printed("5.2, table 1", ways=PLAIN | META, **UNIVERSAL),
    "meta.table2": Printed("5.3, table 2", ways=PLAIN | META, **UNIVERSAL),
    "meta.table3": Printed("5.4, table 3", ways=PLAIN | META, **UNIVERSAL),
    "meta.table4": Printed("5.5, table 4", ways=PLAIN | META, **UNIVERSAL),
    "meta.table5": Printed(
        "5.6, table 5",
        ways={
            "meta both": META["meta both"],
            "UAP w/ SMA": ("delta", "source", 8.0),
            **UAPR,
        },
        **UNIVERSAL,
    ),
    "meta.table6": Printed(
        "5.7, table 6",
        ways=PLAIN | META | {f"joined {kind}": (kind, "joined", 8.0) for kind in KINDS},
        **UNIVERSAL,
    ),
    "meta.table7": Printed(
        "5.7, table 7",
        ways={
            "both": PLAIN["both"],
            "virtual both": ("both", "virtual", 8.0),
            "meta both": META["meta both"],
        },
        **UNIVERSAL,
    ),
    "meta.table8": Printed(
        "5.8, table 8",
        ways={
            f"meta both {eps:g}": ("both", "meta", eps) for eps in (1.0, 2.0, 4.0, 8.0, 12.0, 16.0)
        },
        **UNIVERSAL,
    ),
    "meta.table9": Printed("5.9, table 9", ways=META, **UNIVERSAL),
    "meta.table10": Printed("5.10, table 10", ways={"meta both": META["meta both"]}, **UNIVERSAL),
    "meta.table11": Printed(
        "5.12, table 11: 'the UAP [18] attack'",
        ways={"delta": PLAIN["delta"], "meta both": META["meta both"]},
        **UNIVERSAL,
    ),
    "meta.table12": Printed("5.12, table 12", ways={"meta both": META["meta both"]}, **UNIVERSAL),
    "meta.table13": Printed("6.2, table 13: 'SMA (Cosine)'", ways=META | UAPR, **UNIVERSAL),
    "meta.table14": Printed("6.3, table 14: 'SMA (Cosine)'", ways=UAPR, **UNIVERSAL),
    "meta.table15": Printed("6.4, table 15", ways=PLAIN | META, **UNIVERSAL),
    "meta.table16": Printed(
        "6.4, table 16",
        ways={f"meta both {eps:g}": ("both", "meta", eps) for eps in (4.0, 8.0, 12.0)},
        **UNIVERSAL,
    ),
    "meta.table17": Printed("6.5, table 17", ways={"meta both": META["meta both"]}, **UNIVERSAL),
    "meta.table18": Printed("6.5, table 18", ways={"meta both": META["meta both"]}, **UNIVERSAL),
}
COSINE = {"meta.table13", "meta.table14"}  # where queries are attacked by SMA and ranked by cosine
VIDEO = {  # Li et al., 4.1, and 3.1 for the direction of a search
    "data.type": "video",
    "data.height": 288,
    "data.width": 144,
    "video.seq_len": 6,
    "data.targets": ["vcm_i2v", "vcm_v2i"],
}
RECIPES = {  # config -> (place, key -> value)
    "train/bai_b1": ("Bai et al., 5", {"train.optim": "adam", "train.max_epoch": 60}),
    "train/bai_b4": ("Bai et al., 5", {"loss.name": "triplet", "train.max_epoch": 60}),
    **{
        f"train/joint_{name}": (
            "joint defense, 4.1",
            {
                "train.optim": "sgd",
                "sgd.momentum": 0.9,
                "train.lr": 0.1,
                "train.stepsize": [40],
                "train.gamma": 0.1,
                "train.batch_size": 32,
                "train.max_epoch": 60 if name == "normal" else 120,
            },
        )
        for name in ("normal", "cf", "dl", "dl_star", "at")
    },
    "video/asam_adm_stig": (
        "Li et al., 4.1",
        {
            "train.optim": "sgd",
            "sgd.momentum": 0.9,
            "train.weight_decay": 5e-4,
            "train.lr": 0.12,
            "train.max_epoch": 200,
            "train.batch_size": 32,
            "adv.video.first_epochs": 150,
            "data.height": 288,
            "data.width": 144,
            "video.seq_len": 6,
            "sampler.num_instances": 4,
        },
    ),
    "reproduce_meta": (
        "universal attackers, 5.1",
        {
            "adv.scenarios.batch": 64,
            "adv.scenarios.epochs": 10,
            "adv.meta.virtual": "personx_456",
            "adv.attack.eps": 8.0,
        },
    ),
}
