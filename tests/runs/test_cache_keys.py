"""Every key of the cache: each thing that decides, changed once, gives another key."""

import contextlib
import dataclasses
import json
import sys
import types

import pytest
import torch

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.cli import reads
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.core.cache import Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.data.contents import data_facts, digest_of_records
from torchreid_adv.data.records import Record
from torchreid_adv.distances import build_distance
from torchreid_adv.engines import deciding_keys
from torchreid_adv.engines.deciding_keys import LEARNING, PLACES, TRAINING, config_facts
from torchreid_adv.engines.trained import training_settings
from torchreid_adv.evaluation import Protocol, Reranking
from torchreid_adv.models import PixelModel
from torchreid_adv.runs.attack_run import SCORED, SPEED, AttackRun
from torchreid_adv.standard.identity import run_identity
from torchreid_adv.standard.versions import LITE

ENGINES = ("", "adversarial_training", "meta_defense", "vi_self_attack")


def other(value):
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, (list, tuple)):
        return type(value)([*value, "one more"])
    if isinstance(value, dict):
        return config.AdvConfig({"new": 1})
    return 7 if value is None else f"{value}x"


@contextlib.contextmanager
def changed(cfg, key):
    """Give a config that differs in one leaf."""
    *sections, name = key.split(".")
    node = cfg
    for section in sections:
        node = node[section]
    before = node[name]
    dict.__setitem__(node, name, other(before))
    yield cfg
    dict.__setitem__(node, name, before)


def effective(engine, selection=""):
    cfg = default_config()
    cfg.adv.engine, cfg.adv.selection.data = engine, selection
    return training_settings(cfg)


CASES = {
    **{f"training, {engine or 'stock'}": (effective(engine), TRAINING) for engine in ENGINES},
    "training, best": (effective("", "virtual_b"), TRAINING),
    "learning": (effective("meta_attack"), LEARNING),
    "video": (effective("vi_self_attack"), PLACES),
}


@pytest.mark.parametrize("case", CASES)
def test_each_leaf_of_the_config_decides_or_is_named_with_a_reason(case, monkeypatch):
    cfg, left_out = CASES[case]
    monkeypatch.setattr(deciding_keys, "file_digest", lambda path, what: f"digest of {path}")
    before, leaves = config_facts(cfg, left_out), dict(config.leaves(cfg))
    assert len(leaves) > 200
    for key in leaves:
        named = [one for one in left_out if one.where(cfg) and one.has(key)]
        assert all(one.reason for one in named)
        with changed(cfg, key):
            same = config_facts(cfg, left_out) == before
        assert same == bool(named), f"{key} {'does not decide' if same else 'decides'}"


@pytest.mark.parametrize("engine", ENGINES)
def test_no_section_decides_that_no_training_reads(engine):
    """Settings of other commands, such as the version of a card, leave a trained model as it is."""
    read = {".".join(name.split(".")[:2]) for name in reads.TRAINING}
    read |= {f"adv.{section}" for section in (*reads.ENGINES, *reads.VIRTUAL)}
    facts = config_facts(effective(engine), TRAINING)
    sections = {".".join(key.split(".")[:2]) for key in facts if key.startswith("adv.")}
    assert sections <= read


def test_a_key_that_is_new_decides():
    cfg = default_config()
    for place in (cfg, cfg.data, cfg.adv.virtual, cfg.train):
        own, section = cfg.clone(), [k for k, v in cfg.items() if v is place]
        dict.__setitem__(own[section[0]] if section else own, "brand_new", 1)
        if place is not cfg.adv.virtual:
            assert config_facts(own, TRAINING) != config_facts(cfg, TRAINING)


@pytest.mark.parametrize("left_out", [PLACES, TRAINING, LEARNING])
def test_what_is_left_out_is_there(left_out):
    keys = dict(config.leaves(default_config()))
    for one in left_out:
        for name in one.keys:
            assert any(f"{key}.".startswith(f"{name}.") for key in keys), name


DECIDE = (
    "data.split_id data.combineall data.workers data.k_tfm data.type cuhk03.labeled_images "
    "cuhk03.classic_split market1501.use_500k_distractors use_gpu train.seed "
    "loss.softmax.label_smooth rmsprop.alpha video.seq_len"
)


@pytest.mark.parametrize("key", DECIDE.split())
def test_data_losses_and_machine_decide_which_model_is_trained(key):
    cfg = effective("")
    before = config_facts(cfg, TRAINING)
    with changed(cfg, key):
        assert config_facts(cfg, TRAINING) != before


def test_a_plugin_counts_by_its_name_and_content_wherever_it_lies(tmp_path, monkeypatch):
    cfg = effective("")
    cfg.adv.plugins = ["a_plugin"]
    facts = []
    for folder, content in (("one", "x = 1"), ("two", "x = 1"), ("two", "x = 22")):
        path = tmp_path / folder / "a_plugin.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        module = types.ModuleType("a_plugin")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, "a_plugin", module)
        facts.append(config_facts(cfg, TRAINING))
    assert facts[0] == facts[1] != facts[2]


def test_files_count_by_what_they_hold(tmp_path):
    cfg = effective("")
    path, moved, listed = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth"))
    for one in (path, moved, listed):
        one.write_bytes(b"weights")
    cfg.model.load_weights, cfg.adv.plugins = str(path), []
    cfg.adv.brand_new = [f"label=net:{listed}"]
    before = config_facts(cfg, TRAINING)
    cfg.model.load_weights = str(moved)
    assert config_facts(cfg, TRAINING) == before
    moved.write_bytes(b"WEIGHTS")
    assert config_facts(cfg, TRAINING) != before
    moved.write_bytes(b"weights")
    listed.write_bytes(b"others")
    assert config_facts(cfg, TRAINING) != before
    cfg.model.load_weights = str(tmp_path / "none")
    with pytest.raises(adv.ConfigError, match=r"cannot read the file of model\.load_weights"):
        config_facts(cfg, TRAINING)


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(3, 4)

    def forward(self, images):
        return self.linear(images.mean((2, 3)))


def protocol(**fields):
    return Protocol(**{"distance": build_distance("euclidean", normalize=True), **fields})


def job(**fields):
    attack = adv.build_attack("fgsm", eps=8 / 255)
    return AttackRun(**{"attack": attack, "protocol": protocol(), **fields})


OTHER = {
    "attack": lambda: adv.build_attack("fgsm", eps=4 / 255),
    "protocol": lambda: protocol(distance=build_distance("cosine")),
    "side": lambda: "query",
    "target": lambda: "7",
    "defense": lambda: __import__(
        "torchreid_adv.runs.defended_run", fromlist=["DefenseTest"]
    ).DefenseTest("jpeg", adv.build_defense("jpeg")),
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(AttackRun)])
def test_each_field_of_a_job_decides_the_images_or_the_scores(field):
    model, pulled = PixelModel(Tiny().eval(), size=(8, 4)), {}
    if field == "target":
        attack = adv.build_attack("fgsm", eps=8 / 255, targeted=True)
        pulled = {"attack": attack, "target": "random"}
    before, value = job(**pulled), OTHER.get(field, lambda: other(getattr(job(), field)))()
    after = job(**{**pulled, field: value})
    images = before.key(model).digest != after.key(model).digest
    scores = Key.of(**before.score_facts()).digest != Key.of(**after.score_facts()).digest
    assert images == (field not in SCORED + SPEED)
    assert scores == (field in SCORED)


RULES = {
    "distance": build_distance("euclidean"),
    "name": "sysu_mm01",
    "ap_rule": "trapezoid",
    "rerank": Reranking(),
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Protocol)])
def test_each_rule_decides_the_scores(field):
    before = protocol()
    after = protocol(**{field: RULES.get(field, other(getattr(before, field)))})
    keys = [Key.of(**job(protocol=rules).score_facts()).digest for rules in (before, after)]
    assert keys[0] != keys[1]


def test_machine_chunk_and_network_decide_a_run(monkeypatch):
    def digest(model):
        return job().key(model).digest

    model = PixelModel(Tiny().eval(), size=(8, 4))
    before = digest(model)
    assert digest(PixelModel(Tiny().eval(), size=(8, 4), mean=(0, 0, 0))) != before
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    assert digest(model) != before
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "0.0.0")
    assert digest(model) != before
    monkeypatch.undo()
    monkeypatch.setattr("torchreid_adv.runs.folder.__version__", "0.0.0")
    assert digest(model) != before
    monkeypatch.undo()
    model.network.linear.weight.data[0, 0] += 1
    assert digest(model) != before


def frame(tmp_path, name="a", **fields):
    path = tmp_path / f"{name}.jpg"
    path.write_bytes(name.encode())
    return Record(**{"image_id": name, "path": path, "pid": 1, "camid": 2, **fields})


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Record)])
def test_each_field_of_a_record_decides_but_its_place(tmp_path, field):
    record, moved = frame(tmp_path, modality=0), tmp_path / "moved.jpg"
    moved.write_bytes(record.path.read_bytes())
    values = {"path": moved, "frames": (frame(tmp_path, "b"), frame(tmp_path, "c"))}
    values |= {"clip": (0, 1), "image_id": "z", "tracklet": "t"}
    value = values.get(field, other(getattr(record, field)))
    after = dataclasses.replace(record, **{field: value})
    digests = [digest_of_records([one], Contents()) for one in (record, after)]
    assert (digests[0] == digests[1]) == (field == "path")
    record.path.write_bytes(b"A")
    assert digest_of_records([record], Contents()) != digests[0]


@pytest.fixture
def toy(market):
    return adv.load_dataset("market1501", root=market), PixelModel(Tiny().eval(), size=(8, 4))


def test_each_image_and_label_decides_a_data_set(toy):
    data, _ = toy
    before = data_facts(data, Contents())
    assert data_facts(data, Contents()) == before
    for side in ("train", "query", "gallery"):
        first, *rest = data.side(side)
        fewer = dataclasses.replace(data, **{side: tuple(rest)})
        label = dataclasses.replace(first, pid=first.pid + 1)
        labeled = dataclasses.replace(data, **{side: (label, *rest)})
        swapped = dataclasses.replace(data, **{side: (*rest, first)})
        found = [data_facts(one, Contents())[side] for one in (fewer, labeled, swapped)]
        assert len({before[side], *found}) == 4


def test_each_part_of_the_standard_evaluation_decides(toy):
    data, model = toy
    surrogates, rules = [PixelModel(Tiny().eval())], protocol()
    usual = {"model": model, "data": data, "version": LITE, "surrogates": surrogates}
    usual |= {"protocol": rules, "attacked": rules.distance, "name": "m", "contents": Contents()}

    def digest(**fields):
        return run_identity(**{**usual, **fields}).digest

    cosine = build_distance("cosine")
    plain = build_distance("euclidean")
    parts = [
        {},
        {"model": PixelModel(Tiny().eval(), size=(8, 4), std=(1, 1, 1))},
        {"data": dataclasses.replace(data, query=data.query[1:])},
        {"surrogates": []},
        {"surrogates": [model]},
        {"protocol": protocol(distance=cosine)},
        {"protocol": protocol(distance=plain)},
        {"protocol": protocol(ap_rule="trapezoid")},
        {"attacked": cosine},
        {"name": "n"},
    ]
    parts += [
        {"version": dataclasses.replace(LITE, **{f.name: other(getattr(LITE, f.name))})}
        for f in dataclasses.fields(LITE)
    ]
    assert len({digest(**fields) for fields in parts}) == len(parts)
    data.gallery[0].path.write_bytes(b"another image")
    assert digest() not in {digest(**fields) for fields in parts[1:]}


def test_keys_are_readable(toy):
    _, model = toy
    content = json.loads(job().key(model).record())
    assert content["attack"]["name"] == "fgsm"
    assert content["network"]["preprocessing"]["size"] == [8, 4]
