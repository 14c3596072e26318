"""What each reproduction resolves to, held against what its paper says: tests/paper_settings.py."""

import json
from types import SimpleNamespace

import paper_settings as papers
import pytest
from paper_settings import PRINTED, RECIPES, VIDEO

from torchreid_adv import config
from torchreid_adv.attacks.learned.generator import GeneratedNoise, save_generator
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal
from torchreid_adv.config import lookup
from torchreid_adv.config.examples import found as shipped
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.engines.meta_attack import MOMENTUM, STEPS_TO_BOUND
from torchreid_adv.experiments.learned import LearnedAttack, learning_settings
from torchreid_adv.experiments.papers import bai2019_text, meta, meta_runs, vi_video
from torchreid_adv.experiments.papers.joint_defense import ATTACK as JOINT
from torchreid_adv.experiments.reproduce import reproduce
from torchreid_adv.experiments.universal_scores import UniversalScores
from torchreid_adv.integration.hooks import installed
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.paper_table import paper_table
from torchreid_adv.runs import grid, inputs
from torchreid_adv.runs.attack_dataset import configured_job

MEASURES = {"mAP": 0.5, "cmc": dict.fromkeys(("1", "5", "10", "20"), 0.5)}
BARE = {  # label -> network, for a config that says nothing else
    **dict.fromkeys(("B1", "B4", "N", "N2", "CF", "DL", "DL-star", "SMA2", "R50"), "resnet50"),
    **dict.fromkeys(("B1-M", "B2-M", "B3-M", "B4-M", "AT_dmr"), "resnet50"),
    **dict.fromkeys(("AT_ifgsm", "AT_sma", "AT_lta"), "resnet50"),
    **{"B2": "resnext50_32x4d", "B3": "densenet121", "HA": "hacnn@160x64"},
    **dict.fromkeys(("SB", "SB-DL"), "sb_resnet50"),
    **dict.fromkeys(("FR", "FR-DL"), "ibn_resnet101"),
}
UNDEFENDED = ("IDE", "PCB", "AGW")
DEFENDED = ("M_C", "M_D", "M_CD", "M_SMA", "M_adv", "M_msmt", "M_joint", "M_ce", "M_tri")
SETS = ("market1501", "dukemtmcreid")
ELSEWHERE = {
    "bai2019.cross_modality",  # nothing is run
    "joint_defense.fig5",  # a training: test_recipes_are_those_of_the_papers
    "meta.table19",  # a measurement of time
    "vi_video.table1",  # test_the_video_tables_search_as_the_paper_does
    "vi_video.table2",
}


class Recorded:
    """What a reproduction asked for, in the place of doing it."""

    def __init__(self, patch, place):
        self.jobs, self.cells, self.learned, self.place = [], [], [], place
        patch.setattr(grid.Grid, "check_gradients", lambda *rest: None)
        patch.setattr(grid.Grid, "attack", self.attack)
        patch.setattr(grid.Grid, "cell", self.cell)
        patch.setattr(grid.Grid, "clean_cell", self.clean)
        patch.setattr(inputs, "configured_dataset", self.data)
        patch.setattr(bai2019_text._Distances, "mean", lambda self, cell: 1.0)
        patch.setattr(meta_runs, "learned", self.learn)
        patch.setattr(UniversalScores, "pairs", self.pairs)
        patch.setattr(meta, "file_similarity", lambda *rest: 0.5)

    @staticmethod
    def data(cfg, name, **rest):
        return SimpleNamespace(name=name, protocol="", query=(), gallery=(), train=())

    def attack(self, grid_attack, targets, out):
        """Stand in for Table.attack, whose table is not needed."""

    def record(self, table, grid_attack, spec, data, cfg):
        job = configured_job(cfg)
        behind = () if table.behind is None else table.behind.describe()["steps"]
        self.cells.append(
            {
                "attacked": "+".join(s.label for s in grid_attack.attacked) if grid_attack else "",
                "attack": grid_attack.attack if grid_attack else "",
                "tested": "ensemble" if spec is None else spec.label,
                "behind": tuple(map(tuple, behind)),
                "mode": table.behind.mode if behind else "bicubic",
                "size": (cfg.data.height, cfg.data.width),
                "does": job.describe() if grid_attack else {},
                "ranked": (job.distance.name, job.distance.normalize),
                "reranked": job.protocol.rerank is not None,
                "ap_rule": job.protocol.ap_rule,
                "interpolation": cfg.adv.data.interpolation,
            }
        )
        both = {**MEASURES, "rerank": MEASURES}
        attack = (
            (grid_attack.attack, grid_attack.eps, grid_attack.metric)
            if grid_attack
            else ("", 0.0, "")
        )
        name, eps, metric = attack
        label = self.cells[-1]["attacked"]
        tested, kind = self.cells[-1]["tested"], "white" if grid_attack else ""
        return Cell(data.name, label, name, eps, metric, tested, kind, both, both)

    @property
    def pairs(self):
        def pairs(scores, attack, tested):
            scores.attacked(attack, tested)
            return [(SimpleNamespace(path=""), "")]

        return pairs

    @property
    def cell(self):
        recorded = self

        def cell(table, grid_attack, spec, data, out):
            cfg = grid_attack.config(table.cfg, out)
            return recorded.record(table, grid_attack, spec, data, cfg)

        return cell

    @property
    def clean(self):
        recorded = self
        return lambda table, spec, data, out: recorded.record(table, None, spec, data, table.cfg)

    def learn(self, cfg, on, chosen, out):
        own = learning_settings(cfg, on, chosen)
        self.learned.append((chosen.name, chosen.eps, own))
        eps, kind = chosen.eps, own.adv.meta.perturbation
        path = self.place / f"{on.spec.label}-{chosen.name.replace('/', '')}-{eps:g}.safetensors"
        save_universal(path, UniversalPerturbation(eps / 255, kind=kind, size=(8, 4), cells=2))
        return LearnedAttack(chosen.name, on, eps, path)


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    config.forget()
    yield Recorded(monkeypatch, tmp_path)
    config.forget()


def models_of(name):
    if not name.startswith("meta."):
        dense = {"N", "AT_dmr", "DL"} if name == "joint_defense.table8" else set()
        networks = {k: "densenet121" if k in dense else v for k, v in BARE.items()}
        return "adv.transfer.models", [f"{k}={v}:w.pth" for k, v in networks.items()]
    labels = [f"{model}-{data}" for model in (*UNDEFENDED, *DEFENDED) for data in SETS]
    labels += ["IDE-deepchange", "IDE-unrealperson"]
    return "adv.scenarios.models", [f"{label}=ide_resnet50:w.pth" for label in labels]


def configured(name, file, place):
    """Return the config of a table: with an example config, or with its models alone."""
    cfg = default_config()
    if file:
        cfg.merge_from_file(str(shipped(f"configs/{file}.yaml")))
    key, models = models_of(name)
    sources, targets = ["market1501"], ["market1501"]
    if name.startswith("meta."):
        sources, targets = [*SETS], [*SETS]
    if name == "joint_defense.table2":
        targets = ["dukemtmcreid"]
    if name in ("meta.table11", "meta.table12"):
        targets = ["deepchange"] if name == "meta.table11" else [*SETS]
    pairs = [key, models, "data.sources", sources, "data.targets", targets]
    pairs += ["data.save_dir", str(place / "out"), "data.root", str(place)]
    if name == "joint_defense.table8":
        file = place / "generator.safetensors"
        save_generator(file, GeneratedNoise(8 / 255, size=(8, 4), filters=1, blocks=0))
        pairs += ["adv.attack.eps", 8.0, "adv.attack.weights", str(file)]
    cfg.merge_from_list(pairs)
    return cfg


def example_of(name):
    if name == "joint_defense.table8":
        return "reproduce_dmr"
    return "reproduce_meta" if name.startswith("meta.") else "reproduce"


def done(name, recorded, file=""):
    cfg = configured(name, file, recorded.place)
    with installed():
        config.setup(cfg)
        reproduce(cfg, name)
    return recorded


CASES = [(name, file) for name in sorted(PRINTED) for file in ("", example_of(name))]


def test_every_reproduction_is_held_against_its_paper():
    assert set(PRINTED) | ELSEWHERE == set(REPRODUCTIONS)
    assert not set(PRINTED) & ELSEWHERE
    assert all(printed.place for printed in PRINTED.values())


def test_the_same_network_with_other_weights_is_called_as_each_paper_calls_it():
    for name in PRINTED:
        expected, place = papers.OTHER_WEIGHTS[name.partition(".")[0]]
        if not name.endswith("fig3") and not name.endswith("fig6"):  # made of other tables
            assert paper_table(name).same_network == expected, place


@pytest.mark.parametrize(("name", "file"), CASES, ids=[f"{n}-{f or 'bare'}" for n, f in CASES])
def test_a_table_is_made_as_its_paper_says(name, file, recorded):
    """By an example config, and by defaults alone, which so cannot change a protocol."""
    printed = PRINTED[name]
    done(name, recorded, file)
    cells = recorded.cells
    assert cells
    assert {cell["size"] for cell in cells} == {papers.FINAL}
    assert {cell["mode"] for cell in cells} == {"bicubic"}
    assert {cell["ap_rule"] for cell in cells} == {printed.ap_rule}
    assert {cell["interpolation"] for cell in cells} == {printed.interpolation}
    attacked = [cell for cell in cells if cell["attack"]]
    assert {cell["does"]["side"] for cell in attacked} <= {printed.side}
    assert {cell["does"]["space"] for cell in attacked} <= {printed.space}
    assert not any(cell["does"].get("targeted") for cell in attacked)
    cosine = [cell for cell in cells if cell["attack"] == "sma" and name in papers.COSINE]
    others = [cell for cell in cells if cell not in cosine]
    assert {cell["ranked"][0] for cell in cosine} <= {"cosine"}
    assert {cell["does"]["metric"] for cell in cosine} <= {"cosine"}
    assert bool(cosine) is (name in papers.COSINE)
    assert {cell["ranked"] for cell in others} == printed.ranked
    assert {cell["reranked"] for cell in cells} == {printed.reranked}
    if name.startswith("meta."):
        return
    metrics = {cell["does"].get("metric") for cell in attacked} - {None}
    assert metrics <= printed.metrics
    found = {(c["attack"], c["attacked"], c["tested"], c["behind"]) for c in cells}
    assert found == printed.cells
    for cell in attacked:
        expected = printed.attacks.get(cell["attack"])
        if expected is None:  # figure 5 varies the bound
            continue
        does = cell["does"]
        steps = tuple(does.get(key) for key in ("eps", "step_size", "steps", "momentum"))
        for key, ours, papers_own in zip("esnm", steps, expected, strict=True):
            assert papers_own is None or ours == papers_own, (cell["attack"], key)


@pytest.mark.parametrize("file", ["", "reproduce_meta"])
@pytest.mark.parametrize("name", [name for name in sorted(PRINTED) if name.startswith("meta.")])
def test_perturbations_are_learned_as_the_paper_says(name, file, recorded):
    printed = PRINTED[name]
    done(name, recorded, file)
    found = {}
    for way, eps, own in recorded.learned:
        several = len({e for w, e, _ in recorded.learned if w == way}) > 1
        key = f"{way} {eps:g}" if several else way
        found[key] = (own.adv.meta.perturbation, own.adv.meta.learning, eps)
        for setting, value in printed.learned.items():
            if way in ("UAP w/ SMA", "UAP-Retrieval") and setting.startswith("adv."):
                continue
            assert lookup(own, setting) == value, (way, setting)
        assert own.adv.attack.eps == eps
        assert own.data.transforms == []
        assert (own.data.height, own.data.width) == papers.FINAL
    assert found == printed.ways
    assert (STEPS_TO_BOUND, MOMENTUM) == (10, 1.0)
    losses = {way: own for way, _, own in recorded.learned}
    if "UAP w/ SMA" in losses:  # 5.6: cosine similarity of an image and its own form
        own = losses["UAP w/ SMA"]
        assert (own.adv.meta.loss, own.adv.attack.metric) == ("self", "cosine")
        assert losses["UAP-Retrieval"].adv.meta.loss == "centroids"
    for cell in recorded.cells:
        if cell["attack"] == "universal":
            assert cell["does"]["eps"] in {eps for _, eps, _ in recorded.learned}


def test_which_model_sma_is_made_on_is_said_in_the_table(recorded):
    done("meta.table13", recorded, "reproduce_meta")
    own = [cell for cell in recorded.cells if cell["attack"] == "sma"]
    pairs = {(c["attacked"].split("-")[0], c["tested"].split("-")[0]) for c in own}
    assert {("IDE", "IDE"), ("IDE", "M_CD"), ("M_CD", "M_CD")} <= pairs
    assert all(a in ("IDE", b) for a, b in pairs)
    assert all(cell["does"]["eps"] == 8.0 for cell in own)


def test_the_video_tables_search_as_the_paper_does(monkeypatch, tmp_path):
    seen = []

    def scores(cfg, spec, folder):
        seen.append((spec.label, cfg))
        return dict.fromkeys(cfg.data.targets, MEASURES)

    monkeypatch.setattr(vi_video, "video_scores", scores)
    rows = {"baseline": (False, False, "none"), "asam_adm_stig": (True, True, "full")}
    rows |= {"asam": (True, False, "none"), "asam_adm_te": (True, True, "temporal")}
    for name in ("vi_video.table1", "vi_video.table2"):
        cfg = default_config()
        cfg.merge_from_file(str(shipped("configs/video/asam_adm_stig.yaml")))
        labels = rows if name.endswith("1") else ["asam_adm_stig"]
        models = [f"{label}=self_attack_video:w.pth" for label in labels]
        cfg.merge_from_list(["adv.transfer.models", models, "data.save_dir", str(tmp_path)])
        with installed():
            config.setup(cfg)
            reproduce(cfg, name)
        config.forget()
    assert {label for label, _ in seen} == set(rows)
    for label, cfg in seen:
        assert {key: lookup(cfg, key) for key in VIDEO} == VIDEO
        video = cfg.adv.video
        assert (video.attack, video.defense, video.guidance) == rows[label]
        assert (video.descriptor, video.parts_neck, video.parts_rate) == ("whole", "none", 1.0)


@pytest.mark.parametrize("file", sorted(RECIPES))
def test_recipes_are_those_of_the_papers(file):
    place, expected = RECIPES[file]
    cfg = default_config()
    cfg.merge_from_file(str(shipped(f"configs/{file}.yaml")))
    assert {key: lookup(cfg, key) for key in expected} == expected, place
    if file == "train/joint_at":
        own, (eps, step, steps, _) = cfg.adv.training, papers.JOINT["ifgsm"]
        assert (own.eps, own.step_size, own.steps, own.mode) == (eps, step, steps, "offline")
        assert cfg.adv.attack.space == JOINT["adv.attack.space"] == "network"


def test_figure_5_trains_what_its_config_says(monkeypatch, tmp_path):
    from torchreid_adv.experiments.papers import joint_defense

    seen = []

    def trained(cfg, *, engine):
        seen.append(cfg)
        folder = tmp_path / str(len(seen)) / "model"
        folder.mkdir(parents=True)
        names = ("train_loss", "held_out_loss", "train_error", "held_out_error")
        points = [{"epoch": n, **dict.fromkeys(names, 0.5)} for n in (1, 2)]
        (folder.parent / joint_defense.CURVES).write_text(json.dumps(points))
        return folder / "model.pth.tar-120"

    monkeypatch.setattr(joint_defense, "trained_weights", trained)
    monkeypatch.setattr(joint_defense, "training_figure", lambda curves: None)
    cfg = default_config()
    cfg.merge_from_file(str(shipped("configs/train/joint_dl.yaml")))
    with installed():
        config.setup(cfg)
        reproduce(cfg, "joint_defense.fig5")
    config.forget()
    _, expected = RECIPES["train/joint_dl"]
    for own, name in zip(seen, ("diversity_global", "diversity"), strict=True):
        assert own.data.transforms == ["random_flip", "pad_crop", name]
        assert {key: lookup(own, key) for key in expected} == expected
