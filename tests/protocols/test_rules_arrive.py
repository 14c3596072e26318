"""Each rule of the config arrives in each path, and nothing else reads the keys of the rules."""

import ast
import dataclasses
import json
import re
from pathlib import Path

import markets
import pytest
import torch
from paths import FEW, PATHS, SIZE, hard, make_config, of_python, write_weights
from vi_images import write_sysu

import torchreid_adv
import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.core.manifest import Manifest, read_manifest
from torchreid_adv.data.adversarial import protocol_of
from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.engines.trained import train_quietly
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import Protocol, Reranking, evaluate
from torchreid_adv.evaluation.galleries import drawn_gallery
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import Features
from torchreid_adv.registry import DATASETS, PROTOCOLS
from torchreid_adv.runs import attack_dataset
from torchreid_adv.standard.versions import VERSIONS

RULES = {
    "test.dist_metric": "cosine",
    "test.normalize_feature": False,
    "test.ranks": [1, 5, 100],
    "cuhk03.use_metric_cuhk03": True,
    "adv.evaluation.ap_rule": "trapezoid",
    "adv.evaluation.block": 5,
    "test.rerank": True,
    "adv.evaluation.rerank": True,
}
FIELDS = {  # rule -> field of the recorded facts that it changes
    "test.dist_metric": "distance",
    "test.normalize_feature": "distance",
    "test.ranks": "max_rank",
    "cuhk03.use_metric_cuhk03": "name",
    "adv.evaluation.ap_rule": "ap_rule",
    "adv.evaluation.block": "block",
    "test.rerank": "rerank",
    "adv.evaluation.rerank": "rerank",
}
CONFIGURED = [name for name in PATHS if name != "evaluate"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markets, "person", hard)
        markets.write_market(folder / "data", identities=4, cameras=3, sizes=(SIZE, (30, 15)))
    write_sysu(folder / "data")
    write_weights(folder / "tiny.pth")
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip
    monkeypatch.setitem(VERSIONS, "lite", FEW)
    monkeypatch.setattr(attack_dataset, "write_report", lambda out, *rest: out / "report.html")


def scored(place, out, path, **keys):
    cfg = make_config(place / "data", place / "tiny.pth", "market1501", out, **keys)
    with config.using(cfg):
        return PATHS[path](cfg, out)


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGURED)
def test_each_rule_changes_the_facts_or_the_number(place, tmp_path, path):
    usual, facts = scored(place, tmp_path / "usual", path)
    for number, (rule, value) in enumerate(RULES.items()):
        if path == "standard" and "rerank" in rule:
            with pytest.raises(ConfigError, match="without re-ranking"):
                scored(place, tmp_path / str(number), path, **{rule: value})
            continue
        measures, changed = scored(place, tmp_path / str(number), path, **{rule: value})
        if facts is not None:
            assert changed[FIELDS[rule]] != facts[FIELDS[rule]], (path, rule)
            assert {key for key in facts if facts[key] != changed[key]} == {FIELDS[rule]}
        if rule in ("test.normalize_feature", "adv.evaluation.ap_rule"):
            assert measures["mAP"] != usual["mAP"], (path, rule)
        if rule == "test.rerank" and path == "engine":
            assert measures["mAP"] != usual["mAP"]
        elif "rerank" in rule and path != "engine":
            assert measures["rerank"]["mAP"] != usual["mAP"], (path, rule)


@pytest.mark.slow
def test_an_engine_shows_both_rankings_where_both_are_asked_for(place, tmp_path, capsys):
    keys = {"adv.evaluation.rerank": True, "test.evaluate": True}
    cfg = make_config(place / "data", place / "tiny.pth", "market1501", tmp_path, **keys)
    engine = train_quietly(cfg)
    text = next(tmp_path.glob("test.log*")).read_text()
    first, second = re.findall(r"^mAP: (.*)%", text, re.M)
    assert f"{100 * engine.results['market1501'].mAP:.1f}" == first != second


def test_every_rank_that_is_asked_for_is_there_after_an_epoch(place, tmp_path):
    """Also of the attacked side, which is scored by the very rules of the clean one."""
    keys = {
        "test.ranks": [1, 5, 100],
        "adv.engine": "adversarial_training",
        "adv.training.steps": 1,
        "adv.evaluation.ap_rule": "trapezoid",
        "adv.evaluation.block": 3,
        "train.max_epoch": 1,
        "test.eval_freq": 1,
        "model.name": "tiny_classifier",
        "model.load_weights": "",
        "train.batch_size": 4,
    }
    cfg = make_config(place / "data", place / "tiny.pth", "market1501", tmp_path, **keys)
    engine = train_quietly(cfg)
    text = next(tmp_path.glob("train.log*")).read_text()
    assert len(re.findall(r"^Rank-100", text, re.M)) == 2
    attacked, clean = engine.attacked_results["market1501"], engine.results["market1501"]
    assert attacked.ap_rule == clean.ap_rule == "trapezoid"
    assert len(attacked.cmc) == len(clean.cmc) == 100


@pytest.mark.slow
def test_the_attacked_side_is_scored_by_the_data_set_s_protocol(place, tmp_path):
    keys = {
        "adv.engine": "adversarial_training",
        "adv.training.steps": 1,
        "train.max_epoch": 1,
        "model.name": "tiny_classifier",
        "model.load_weights": "",
        "train.batch_size": 4,
        "test.rerank": True,
    }
    cfg = make_config(place / "data", place / "tiny.pth", "sysu_mm01", tmp_path, **keys)
    engine = train_quietly(cfg)
    attacked, clean = engine.attacked_results["sysu_mm01"], engine.results["sysu_mm01"]
    assert attacked.galleries == clean.galleries == 10
    assert attacked.image_ids == clean.image_ids


def test_protocols_that_exclude_each_other_are_refused_before_anything(place, tmp_path):
    keys = {"cuhk03.use_metric_cuhk03": True}
    cfg = make_config(place / "data", place / "tiny.pth", "sysu_mm01", tmp_path, **keys)
    for path in CONFIGURED:
        with config.using(cfg), pytest.raises(ConfigError, match="its own protocol 'sysu_mm01'"):
            PATHS[path](cfg, tmp_path)
    assert not list(tmp_path.rglob("*.json")) + list(tmp_path.rglob("*.png"))


def test_python_takes_another_protocol_for_features_only(place, tmp_path):
    cfg = make_config(place / "data", place / "tiny.pth", "sysu_mm01", tmp_path)
    for name in ("market1501", "cuhk03", "llcm"):
        with pytest.raises(ConfigError, match="scored by its own protocol 'sysu_mm01'"):
            of_python(cfg, tmp_path, protocol=name)
    data = adv.load_dataset("sysu_mm01", root=place / "data")
    model = adv.load_model("tiny", place / "tiny.pth", size=(32, 16))
    attack = adv.build_attack("fgsm", eps=0.1)
    with pytest.raises(ConfigError, match="scored by its own protocol 'sysu_mm01'"):
        adv.attack_dataset(model, data, attack, out=tmp_path / "out", protocol="market1501")
    assert not (tmp_path / "out").exists()


def sides(seed=0, people=6):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([(p, c) for p in range(people) for c in (0, 1, 4) for _ in range(3)])
    queries = torch.tensor([(p, c) for p in range(people) for c in (2, 5)])
    found = []
    for part in (queries, labels):
        values = torch.randn(len(part), 8, generator=generator) + part[:, :1] * 0.5
        found.append(Features(values, *part.T, tuple(f"{n:03d}" for n in range(len(part)))))
    return found


def slow_precisions(matrix, query, gallery, name):
    """Average precisions of a matrix of distances, by a loop; both sides share no camera."""
    for row in range(len(query)):
        people = [
            int(gallery.pids[n])
            for n in torch.argsort(matrix[row], stable=True).tolist()
            if not (name == "sysu_mm01" and (query.camids[row], gallery.camids[n]) == (2, 1))
        ]
        hits = [place for place, pid in enumerate(people) if pid == query.pids[row]]
        yield sum((i + 1) / (place + 1) for i, place in enumerate(hits)) / len(hits)


@pytest.mark.parametrize("name", ["market1501", "cuhk03", "sysu_mm01", "llcm", "regdb"])
def test_reranking_of_every_protocol_is_that_of_each_gallery_by_itself(name):
    """``rerank=True`` is a Reranking(), and each drawn gallery is re-ranked alone."""
    query, gallery = sides()
    ours = evaluate(query, gallery, protocol=name, rerank=True)
    same = evaluate(query, gallery, protocol=name, rerank=Reranking())
    assert ours.mAP == same.mAP != evaluate(query, gallery, protocol=name).mAP
    protocol, found = Protocol(distance=build_distance("euclidean"), name=name), []
    for trial in range(protocol.galleries.galleries):
        labels = gallery.pids.numpy(), gallery.camids.numpy()
        rows = torch.from_numpy(drawn_gallery(*labels, protocol.galleries, seed=trial))
        names = tuple(gallery.image_ids[row] for row in rows.tolist())
        drawn = Features(gallery.values[rows], gallery.pids[rows], gallery.camids[rows], names)
        found += slow_precisions(Reranking().matrix(query, drawn), query, drawn, name)
    assert ours.mAP == pytest.approx(sum(found) / len(found), abs=1e-6)


def test_adv_evaluate_says_what_a_rule_may_be():
    query, gallery = sides()
    with pytest.raises(ConfigError, match="no rule 'ap_rul'; did you mean 'ap_rule'"):
        evaluate(query, gallery, ap_rul="standard")
    with pytest.raises(ConfigError, match="rerank is True, False or a Reranking, got 'yes'"):
        evaluate(query, gallery, rerank="yes")
    with pytest.raises(ConfigError, match="unknown protocol 'sysu'"):
        evaluate(query, gallery, protocol="sysu")
    assert evaluate(query, gallery, rerank=False).mAP == evaluate(query, gallery).mAP


@pytest.mark.parametrize("name", ["market1501", "cuhk03", "sysu_mm01", "llcm", "regdb"])
def test_more_ranks_than_images_stay_at_the_last_value(name):
    query, gallery = sides(people=2)
    result = evaluate(query, gallery, protocol=name, max_rank=500)
    assert len(result.cmc) == 500
    assert result.rank(500) == result.rank(60) == 1


@pytest.mark.parametrize("name", ["market1501", "cuhk03", "sysu_mm01", "llcm", "regdb"])
def test_queries_without_a_match_are_skipped(name):
    query, gallery = sides()
    pids = query.pids.clone()
    pids[:2] = 77
    lost = Features(query.values, pids, query.camids, query.image_ids)
    result = evaluate(lost, gallery, protocol=name)
    precision, hits = result.of_queries()
    assert result.skipped == 2 * result.galleries
    assert precision[:2].tolist() != precision[:2].tolist()  # NaN
    assert result.mAP == pytest.approx(precision[2:].mean())
    assert hits[2:].min() >= 0


@pytest.mark.parametrize("name", ["market1501", "sysu_mm01", "llcm", "regdb"])
def test_ties_are_in_the_order_of_the_gallery(name):
    query, gallery = sides()
    values = torch.ones_like(gallery.values)
    same = Features(values, gallery.pids, gallery.camids, gallery.image_ids)
    first, last = (query.pids == pid for pid in (0, 5))
    _, hits = evaluate(query, same, protocol=name).of_queries()
    assert (hits[first.numpy(), 0] == 1).all()  # identity 0 comes first in the gallery
    assert (hits[last.numpy(), 0] == 0).all()


def test_the_facts_of_a_protocol_are_json_and_complete():
    protocol = Protocol(distance=build_distance("euclidean"), name="sysu_mm01", rerank=Reranking())
    facts = protocol.facts()
    assert json.loads(json.dumps(facts)) == facts
    fields = {field.name for field in dataclasses.fields(Protocol)}
    assert fields <= facts.keys()
    changes = {
        "distance": build_distance("cosine"),
        "name": "llcm",
        "ap_rule": "trapezoid",
        "max_rank": 7,
        "seed": 3,
        "rerank": Reranking(k1=9),
        "block": 17,
    }
    assert changes.keys() == fields
    for name, value in changes.items():
        assert dataclasses.replace(protocol, **{name: value}).facts() != facts, name


KEYS = {"dist_metric", "normalize_feature", "rerank", "ranks", "use_metric_cuhk03"}
KEYS |= {"ap_rule", "block", "neighbors"}
SECTIONS = {"test", "cuhk03", "evaluation"}
NAMES = {f"test.{key}" for key in KEYS} | {"cuhk03.use_metric_cuhk03"}
NAMES |= {f"adv.evaluation.{key}" for key in KEYS} | {"adv.evaluation"}
ALLOWED = {
    "evaluation/protocol.py": "the reader",
    "config/checks.py": "looks whether the metric is registered, before anything else",
}


def reads(tree):
    """Yield the lines that read a key of the rules, or a whole section of them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            section = getattr(node.value, "attr", "")
            if (node.attr in KEYS and section in SECTIONS) or (node.attr, section) == (
                "evaluation", "adv",
            ):  # fmt: skip
                yield node.lineno
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lookup":
            if any(getattr(one, "value", None) in NAMES for one in node.args):
                yield node.lineno
        elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") in ("cfg", "own"):
            section = getattr(node.slice, "value", None)
            yield from [node.lineno] * (section in ("evaluation", "test"))


def test_nothing_else_reads_the_keys_of_the_rules():
    root, found = Path(torchreid_adv.__file__).parent, {}
    for path in sorted(root.rglob("*.py")):
        text = path.read_text()
        if any(name in text for name in (*KEYS, "evaluation")):
            lines = sorted(set(reads(ast.parse(text))))
            found |= {str(path.relative_to(root)): lines} if lines else {}
    assert found.keys() == ALLOWED.keys(), found


def test_the_test_of_readers_sees_one():
    codes = ["cfg.test.rerank", "lookup(cfg, 'test.ranks')", "cfg.adv.evaluation", "cfg['test']"]
    for code in codes:
        assert list(reads(ast.parse(f"x = {code}"))), code
    assert not list(reads(ast.parse("own.test.dist_metric = 'cosine'")))


def test_an_older_manifest_tells_its_protocol_by_its_data_set(place, tmp_path):
    data = adv.load_dataset("sysu_mm01", root=place / "data")
    model = adv.load_model("tiny", place / "tiny.pth", size=(32, 16))
    attack = adv.build_attack("fgsm", eps=0.1)
    stored = adv.attack_dataset(model, data, attack, out=tmp_path)
    assert stored.protocol == "sysu_mm01"
    folder = tmp_path / "sysu_mm01" / "adversarial"
    assert adv.load_dataset("adversarial", folder=str(folder)).protocol == "sysu_mm01"
    manifest = read_manifest(folder)
    header = {key: value for key, value in manifest.header.items() if key != "protocol"}
    for name, own in {"sysu_mm01": "sysu_mm01", "llcm_i2v": "llcm", "market1501": ""}.items():
        old = Manifest({**header, "data": name}, manifest.entries)
        assert protocol_of(folder, old) == own
    for name in ("mine", "adversarial"):
        with pytest.raises(DataError, match=f"does not name the protocol of '{name}'"):
            protocol_of(folder, Manifest({**header, "data": name}, manifest.entries))


def test_every_data_set_that_has_a_protocol_says_so_at_its_registration(place):
    said = {name: DATASETS.facts(name).get("protocol", "") for name in DATASETS}
    assert {own for own in said.values() if own} == set(PROTOCOLS)
    for name in ("sysu_mm01", "sysu_mm01_indoor"):
        assert DATASETS.get(name)(str(place / "data")).protocol == said[name]


def test_a_plugin_s_distance_that_reranking_cannot_use_is_refused():
    class Own(Distance):
        squared_euclidean = False

    with pytest.raises(ConfigError, match="re-ranking finds neighbors by squared Euclidean"):
        Protocol(distance=Own(), rerank=Reranking())
