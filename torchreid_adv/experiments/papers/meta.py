"""Yang et al., Towards Robust Person Re-Identification by Defending Against Universal Attackers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from torchreid_adv.config import AdvConfig
from torchreid_adv.experiments import defense_timing, timing
from torchreid_adv.experiments.comparison import OurCell, compare
from torchreid_adv.experiments.learned import SourceModel
from torchreid_adv.experiments.papers.meta_runs import KINDS, WAYS, MetaRuns
from torchreid_adv.experiments.reproduce import Reproduction
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.noise import file_similarity
from torchreid_adv.report.paper_table import paper_table

BATCHES = 94  # per epoch of the released code: one for every eight identities of Market-1501
DEFENDED = 8  # images of a measured step of the defense: a batch of 64 takes much memory
OTHERS = ("UAP-Retrieval", "UAP w/ SMA", "meta both")
Pair = tuple[SourceModel, SourceModel]  # learned against, tested


@REPRODUCTIONS.register("meta.table1", title="universal attacks on the source")
def table1(cfg: AdvConfig) -> Reproduction:
    """Learn every kind with and without meta-learning against each model, test it on that model."""
    runs = MetaRuns(cfg, 1)
    return _crossed(runs, WAYS, [(v, v) for v in runs.sources() if v in runs.targets()])


@REPRODUCTIONS.register("meta.table2", title="universal attacks on another model")
def table2(cfg: AdvConfig) -> Reproduction:
    """Learn against each model, test the others that were trained on the same data."""
    runs = MetaRuns(cfg, 2)
    return _crossed(runs, WAYS, _pairs(runs, same_model=False, same_data=True))


@REPRODUCTIONS.register("meta.table3", title="universal attacks on another data set")
def table3(cfg: AdvConfig) -> Reproduction:
    """Learn against each model, test the same network on each other data set."""
    runs = MetaRuns(cfg, 3)
    return _crossed(runs, WAYS, _pairs(runs, same_model=True, same_data=False))


@REPRODUCTIONS.register("meta.table4", title="universal attacks on another model and data set")
def table4(cfg: AdvConfig) -> Reproduction:
    """Learn against each model, test the others on the other data sets."""
    runs = MetaRuns(cfg, 4)
    return _crossed(runs, WAYS, _pairs(runs, same_model=False, same_data=False))


@REPRODUCTIONS.register("meta.table5", title="MetaAttack and other universal attacks")
def table5(cfg: AdvConfig) -> Reproduction:
    """Learn MetaAttack, UAP-Retrieval's pairs and UAP with SMA's loss; others come as files."""
    runs = MetaRuns(cfg, 5)
    pairs = [(v, u) for v in runs.sources() for u in runs.targets() if u.model == v.model]
    note = (
        "MisRank is ours if adv.scenarios.files has 'MisRank.MODEL-DATA=ATTACK:FILE', "
        "'MisRank-PersonX....' or 'MisRank_eps16....'. UAP-Retrieval: its pair-wise loss."
    )
    return _crossed(runs, OTHERS, pairs, note)


@REPRODUCTIONS.register("meta.table6", title="further data: joined, or as meta-test set")
def table6(cfg: AdvConfig) -> Reproduction:
    """Learn each kind on the source alone, and with each set of ``adv.scenarios.extra``."""
    runs = MetaRuns(cfg, 6)
    learning = [("source", "")]
    learning += [(how, extra) for how in ("joined", "meta") for extra in _extra(cfg)]
    findings = []
    for on in runs.sources():
        for how, extra in learning:
            for kind in KINDS:
                name = kind if how == "source" else f"{how} {kind}"
                attack = runs.attack(on, name, virtual=extra or cfg.adv.meta.virtual)
                where = {"extra": extra, "learning": how, "perturbation": kind}
                findings += [runs.under(attack, u, **where) for u in runs.targets()]
    return runs.done(findings, _EXTRA)


@REPRODUCTIONS.register("meta.table7", title="source alone, virtual data alone, MetaAttack")
def table7(cfg: AdvConfig) -> Reproduction:
    """Learn both parts on the source, on the virtual set, and by meta-learning."""
    runs = MetaRuns(cfg, 7)
    findings = []
    for on in runs.sources():
        if on in runs.targets():
            for how in ("source", "virtual", "meta"):
                name = "both" if how == "source" else f"{how} both"
                our_cell = runs.under(runs.attack(on, name), on, learning=how, perturbation="both")
                findings.append(our_cell)
    return runs.done(findings)


@REPRODUCTIONS.register("meta.table8", title="universal attacks against the bound")
def table8(cfg: AdvConfig) -> Reproduction:
    """Learn both parts by meta-learning for each bound, ``adv.scenarios.eps`` or the paper's."""
    runs = MetaRuns(cfg, 8)
    bounds = [float(e) for e in cfg.adv.scenarios.eps] or runs.table.values("eps")
    findings = [
        runs.under(runs.attack(on, "meta both", eps=eps), on, eps=eps)
        for on in runs.sources()
        if on in runs.targets()
        for eps in bounds
    ]
    return runs.done(findings)


@REPRODUCTIONS.register("meta.table9", title="similarity of attacked queries to their originals")
def table9(cfg: AdvConfig) -> Reproduction:
    """Measure SSIM between each query and its own stored adversarial form."""
    runs = MetaRuns(cfg, 9)
    findings = []
    for on in runs.sources():
        if on in runs.targets():
            for name, attack in runs.attacks(on, *WAYS[3:]).items():
                pairs = runs.scores.pairs(attack, on)
                mean = statistics.fmean(file_similarity(r.path, path) for r, path in pairs)
                findings.append(OurCell({"target": on.data, "attack": name}, {"ssim": mean}))
    note = (
        "Ours compares each query, resized to the network's input, with its own adversarial form: "
        "11 x 11 Gaussian windows on RGB in [0, 1], mean over the queries."
    )
    return runs.done(findings, note)


@REPRODUCTIONS.register("meta.table10", title="virtual data instead of real data")
def table10(cfg: AdvConfig) -> Reproduction:
    """Learn both parts by meta-learning on each source, test on each target."""
    runs = MetaRuns(cfg, 10)
    findings = [runs.clean(u, source="", extra="") for u in runs.targets()]
    extra = cfg.adv.meta.virtual
    for on in runs.sources():
        attack = runs.attack(on, "meta both")
        findings += [runs.under(attack, u, extra=extra) for u in runs.targets()]
    return runs.done(findings)


@REPRODUCTIONS.register("meta.table11", title="people who change their clothes as target")
def table11(cfg: AdvConfig) -> Reproduction:
    """Learn the delta alone, and both parts by meta-learning; test on another data set."""
    runs = MetaRuns(cfg, 11)
    findings = []
    for on, tested in _pairs(runs, same_model=True, same_data=False):
        findings.append(runs.clean(tested, source=on.data))
        for name, printed in (("delta", "UAP"), ("meta both", "meta both")):
            findings.append(runs.under(runs.attack(on, name), tested, attack=printed))
    return runs.done(findings)


@REPRODUCTIONS.register("meta.table12", title="people who change their clothes as meta-test set")
def table12(cfg: AdvConfig) -> Reproduction:
    """Learn both parts with each meta-test set of ``adv.scenarios.extra``."""
    runs = MetaRuns(cfg, 12)
    findings = [
        runs.under(runs.attack(on, "meta both", virtual=extra), tested, extra=extra)
        for on, tested in _pairs(runs, same_model=True, same_data=False)
        for extra in _extra(cfg)
    ]
    return runs.done(findings, _EXTRA)


@REPRODUCTIONS.register("meta.table19", title="cost of meta-learning")
def table19(cfg: AdvConfig) -> Reproduction:
    """Measure steps of attack and defense with and without meta-learning, on this processor."""
    table = paper_table("meta.table19")
    batches = cfg.adv.meta.iterations or BATCHES
    measured = timing.attack_steps(
        model=cfg.model.name,
        size=(cfg.data.height, cfg.data.width),
        images=cfg.adv.scenarios.batch,
        repeats=1,
        ways=("plain", "meta"),
    )
    trained = defense_timing.run(
        model=cfg.model.name,
        size=(cfg.data.height, cfg.data.width),
        images=DEFENDED,
        repeats=1,
        memory=False,
    )
    share = cfg.adv.scenarios.batch / DEFENDED
    seconds = {
        ("attack", "meta"): measured["seconds"]["meta"],
        ("attack", "source"): measured["seconds"]["plain"],
        ("defense", "meta"): share * trained["seconds"]["2"],
        ("defense", "source"): share * trained["seconds"][defense_timing.PLAIN],
    }
    findings = [
        OurCell(
            {"target": "an epoch", "method": method, "learning": learning},
            {"seconds": batches * step_seconds},
        )
        for (method, learning), step_seconds in seconds.items()
    ]
    note = (
        f"Ours: {cfg.model.name}, random weights, {cfg.data.height}x{cfg.data.width}, "
        f"{batches} batches of {cfg.adv.scenarios.batch} images, processor time of this machine "
        "without reading images. The defense, half of whose images are also in an adversarial "
        f"form, is measured on {DEFENDED} images and scaled to the batch; with meta-learning "
        "it is of second order, as in the paper."
    )
    return Reproduction(compare(table, findings, notes=[note]))


_EXTRA = "Our sets: adv.scenarios.extra, or adv.meta.virtual if that is empty."


def _crossed(
    runs: MetaRuns, names: Sequence[str], pairs: Sequence[Pair], *notes: str
) -> Reproduction:
    """Test the pairs clean and under each attack."""
    findings = []
    for on, tested in pairs:
        findings.append(runs.clean(tested, source=on.data, learned=on.model))
        for name, attack in runs.attacks(on, *names).items():
            findings.append(runs.under(attack, tested, attack=name))
    return runs.done(findings, *notes)


def _pairs(runs: MetaRuns, *, same_model: bool, same_data: bool) -> list[Pair]:
    return [
        (on, tested)
        for on in runs.sources()
        for tested in runs.targets()
        if (on.model == tested.model, on.data == tested.data) == (same_model, same_data)
    ]


def _extra(cfg: AdvConfig) -> list[str]:
    return list(cfg.adv.scenarios.extra) or [cfg.adv.meta.virtual]
