"""The same paper's tables on networks trained with MetaDefense: further weights by its labels."""

from __future__ import annotations

from collections.abc import Sequence

from torchreid_adv.config import AdvConfig
from torchreid_adv.experiments.comparison import OurCell
from torchreid_adv.experiments.learned import SourceModel
from torchreid_adv.experiments.papers.meta_runs import EPS, WAYS, MetaRuns
from torchreid_adv.experiments.reproduce import Reproduction, finding
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.runs.grid import Grid
from torchreid_adv.runs.grid_attack import GridAttack

NORMAL = "IDE"
META = WAYS[3:]
ITSELF = "SMA, itself"
SMA = (
    "SMA is made for each query on the undefended IDE, which the paper's text suggests; "
    f"'{ITSELF}' is made on the tested network. Both attack cosine similarity and are ranked by it."
)


@REPRODUCTIONS.register("meta.table13", title="MetaDefense under universal attacks")
def table13(cfg: AdvConfig) -> Reproduction:
    """Learn the attacks against IDE; test IDE and the networks trained against each kind."""
    runs = MetaRuns(cfg, 13, NORMAL)
    names = [*META, "UAP-Retrieval"]
    findings = [runs.clean(u) for _, u in _tested(runs)]
    return runs.done([*findings, *_under(runs, names), *_under_sma(runs)], SMA)


@REPRODUCTIONS.register("meta.table14", title="MetaDefense and training against SMA")
def table14(cfg: AdvConfig) -> Reproduction:
    """Test networks trained against SMA and by MetaDefense."""
    runs = MetaRuns(cfg, 14, NORMAL)
    labels = {"M_SMA", "M_CD"}
    findings = [*_under(runs, ["UAP-Retrieval"]), *_under_sma(runs)]
    return runs.done([f for f in findings if f.where["tested"] in labels], SMA)


@REPRODUCTIONS.register("meta.table15", title="MetaDefense under attacks of other models")
def table15(cfg: AdvConfig) -> Reproduction:
    """Learn the attacks against each undefended network, test IDE and M_CD."""
    runs = MetaRuns(cfg, 15, NORMAL)
    tested = [u for _, u in _tested(runs) if u.model in (NORMAL, "M_CD")]
    findings = [runs.clean(u, learned="") for u in tested]
    for on in runs.sources(NORMAL, "PCB", "AGW"):
        for name, attack in runs.attacks(on, *WAYS).items():
            findings += [runs.under(attack, u, attack=name) for u in tested if u.data == on.data]
    return runs.done(findings)


@REPRODUCTIONS.register("meta.table16", title="MetaDefense against the bound of the attack")
def table16(cfg: AdvConfig) -> Reproduction:
    """Learn both parts for each bound, ``adv.scenarios.eps`` or the paper's; test IDE and M_CD."""
    runs = MetaRuns(cfg, 16, NORMAL)
    bounds = [float(e) for e in cfg.adv.scenarios.eps] or [4.0, EPS, 12.0]
    findings = [runs.clean(u) for _, u in _tested(runs)]
    for on, tested in _tested(runs):
        named_attacks = [("meta both", runs.attack(on, "meta both", eps=eps)) for eps in bounds]
        named_attacks += [(attack.way, attack) for attack in runs.files if attack.on == on]
        findings += [
            runs.under(attack, tested, attack=name, eps=attack.eps)
            for name, attack in named_attacks
        ]
    return runs.done(findings)


@REPRODUCTIONS.register("meta.table17", title="parts of MetaDefense")
def table17(cfg: AdvConfig) -> Reproduction:
    """Test networks trained without parts of MetaDefense under both parts of MetaAttack."""
    return _defended(cfg, 17)


@REPRODUCTIONS.register("meta.table18", title="losses of MetaDefense")
def table18(cfg: AdvConfig) -> Reproduction:
    """Test networks trained with either loss under both parts of MetaAttack."""
    return _defended(cfg, 18)


def _defended(cfg: AdvConfig, number: int) -> Reproduction:
    runs = MetaRuns(cfg, number, NORMAL)
    findings = _under(runs, ["meta both"])
    return runs.done([f for f in findings if f.where["tested"] != NORMAL])


def _tested(runs: MetaRuns) -> list[tuple[SourceModel, SourceModel]]:
    """Return each network with the undefended one of the same data."""
    return [(v, u) for v in runs.sources(NORMAL) for u in runs.targets() if u.data == v.data]


def _under(runs: MetaRuns, names: Sequence[str]) -> list[OurCell]:
    """Test each network under attacks that were learned against the undefended one."""
    return [
        runs.under(attack, tested, attack=name)
        for on, tested in _tested(runs)
        for name, attack in runs.attacks(on, *names).items()
    ]


def _under_sma(runs: MetaRuns) -> list[OurCell]:
    """Test each network under SMA made on the undefended one, and on itself (section 6.2)."""
    run_cfg: AdvConfig = runs.cfg.clone()
    run_cfg.test.dist_metric = "cosine"
    run_cfg.adv.attack.side = "query"
    run_cfg.adv.report.page = run_cfg.adv.job.copies = False
    table, findings = Grid(run_cfg), []
    for normal, tested in _tested(runs):
        data = table.data(tested.data)
        made_on = {"SMA": normal.spec} | ({ITSELF: tested.spec} if tested != normal else {})
        for name, attacked in made_on.items():
            grid_attack = GridAttack((attacked,), "sma", EPS, "cosine")
            table.attack(grid_attack, [data], runs.out)
            cell = table.cell(grid_attack, tested.spec, data, runs.out)
            findings.append(finding(cell, attack=name, tested=tested.model))
    return findings
