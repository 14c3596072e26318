"""``clean`` is torchreid's number, or the published one, of every data set in every command."""

import itertools

import pytest
from paths import (
    FEW,
    PATHS,
    SETS,
    make_config,
    published_scores,
    torchreid_scores,
    torchreid_sides,
    write_all,
    write_weights,
)

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.standard.versions import VERSIONS

OWN = ("sysu", "regdb", "llcm")  # data sets with a protocol of their own
QUICK = ("cuhk03 metric", "sysu_mm01", "adversarial llcm_v2i")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    with pytest.MonkeyPatch.context() as patch:
        write_all(folder / "data", patch)
    write_weights(folder / "tiny.pth")
    return folder


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Small budgets of the standard evaluation; its clean scores are what is looked at."""
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip
    monkeypatch.setitem(VERSIONS, "lite", FEW)


def adversarial_of(place, name):
    """Return the folder of an attacked data set, made once."""
    folder = place / "stored" / name
    if not folder.exists():
        data = adv.load_dataset(name, root=place / "data")
        model = adv.load_model("tiny", place / "tiny.pth", size=(32, 16))
        attack = adv.build_attack("fgsm", eps=12 / 255)
        adv.attack_dataset(model, data, attack, out=folder)
    return folder / name / "adversarial"


def configured(place, label, out):
    name, *_ = label.split()
    keys = dict(SETS[label])
    if name == "adversarial":
        keys["adv.data.adversarial_dir"] = str(adversarial_of(place, label.split()[1]))
    return make_config(place / "data", place / "tiny.pth", name, out, **keys)


def expected(cfg, label):
    """Return what independent code finds, and which of it every path has to find, too."""
    sides, name = torchreid_sides(cfg), label.split()[-1]
    if name.startswith(OWN):
        return published_scores(sides, name)
    scores = torchreid_scores(sides)
    if "metric" in label:  # torchreid draws its match curve with an unseeded generator
        return {"mAP": scores["mAP"]}
    return scores


def check(place, out, label, counted):
    """Hold every path to the expected scores and all paths to each other."""
    cfg = configured(place, label, out)
    wanted, found = expected(cfg, label), {}
    for path, scores in PATHS.items():
        with config.using(cfg):
            measures, facts = scores(cfg, out)
        found[path] = {"mAP": measures["mAP"], **measures["cmc"]}
        for key, value in wanted.items():
            assert found[path][key] == pytest.approx(value, abs=1e-6), (label, path, key)
        protocol = label.split()[-1].split("_i2v")[0].split("_v2i")[0].removesuffix("_indoor")
        own = protocol if protocol.startswith(OWN) else "market1501"
        own = "cuhk03" if "metric" in label else own
        assert facts is None or facts["name"] == own, (label, path)
        counted.append((label, path))
    for one, other in itertools.pairwise(found.values()):
        for key in set(one) & set(other):
            assert one[key] == pytest.approx(other[key], abs=1e-6), (label, key)


def test_clean_is_the_independent_number(place, tmp_path):
    counted = []
    for label in QUICK:
        check(place, tmp_path / label, label, counted)
    assert len(counted) == len(QUICK) * len(PATHS) == 15


@pytest.mark.slow
def test_clean_is_the_independent_number_of_all_sets(place, tmp_path):
    counted = []
    for label in SETS:
        check(place, tmp_path / label, label, counted)
    print(f"{len(counted)} cells: {len(SETS)} data sets in {len(PATHS)} ways")
    assert len(counted) == len(SETS) * len(PATHS) == 85
