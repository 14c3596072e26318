"""Numbers and sentences of the report."""

from __future__ import annotations

import json
import math

import pytest
import torch
import yaml
from torch.nn import functional as F

from torchreid_adv.distances import build_distance
from torchreid_adv.report import text as words
from torchreid_adv.report.table import measures
from torchreid_adv.report.units import DASH


def test_a_curve_that_never_falls_claims_no_loss():
    curve = {"queries": [1, 30], "mAP": [0.5, 0.5], "objective": [0.0, 0.1]}
    assert "Half" not in words.curve_sentence(curve, 0.5)
    assert "they end at the same" in words.curve_sentence(curve, 0.5)
    assert "60.0% instead of 50.0%" in words.curve_sentence(curve, 0.6)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.841, "84.1%"), (1, "100.0%"), (0, "0.0%"), (0.00367, "0.37%"), (0.0099, "0.99%"),
        (0.00999, "1.0%"), (math.nan, DASH), (None, DASH),
    ],
)  # fmt: skip
def test_percent(value, text):
    assert words.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5"),
        (0.5, "0.5"),
        (4.656, "4.66"),
        (19732, "19,732"),
        (1234.6, "1,235"),
        (None, DASH),
    ],
)
def test_number(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.25, "\N{MINUS SIGN}0.250"), (-1e-9, "0.000"), (123.456, "123.5")],
)
def test_fixed(value, text):
    assert words.fixed(value) == text


@pytest.mark.parametrize(
    ("name", "normalize"), [("cosine", True), ("euclidean", True), ("euclidean", False)]
)
def test_similarity_is_the_cosine_where_the_distance_amounts_to_one(name, normalize):
    distance = build_distance(name, normalize=normalize)
    a, b = torch.randn(1, 5, generator=torch.Generator().manual_seed(1)), torch.ones(1, 5)
    found = words.similarity(distance, float(distance(a, b)))
    if normalize:
        assert found == pytest.approx(float(F.cosine_similarity(a, b)), abs=1e-6)
    else:
        assert found is None


def test_describe_distance():
    said = [
        words.describe_distance(build_distance(name, normalize=normalize))
        for name, normalize in (("cosine", True), ("euclidean", True), ("euclidean", False))
    ]
    assert said == [
        "cosine distance", "squared Euclidean distance of unit features",
        "squared Euclidean distance",
    ]  # fmt: skip


def test_headline_says_which_way_it_goes():
    def say(before, after, eps=5.0):
        results = {
            "clean": {"mAP": before, "cmc": {"1": before}},
            "adversarial": {"mAP": after, "cmc": {"1": after}},
        }
        return words.headline("osnet", "duke", "query", eps, results)

    assert say(0.8, 0.1) == (
        "With query images changed by at most 5 of 255 gray levels, the mAP of osnet on duke falls "
        "from 80.0% to 10.0%; the first match is correct for 10.0% of the queries instead of 80.0%."
    )
    assert "rises from 10.0% to 80.0%" in say(0.1, 0.8)
    assert "stays at 80.0%" in say(0.8, 0.8)
    assert say(0.8, 0.1, 255.0).startswith("With query images changed without a bound, the mAP")
    assert "as before" in say(0.8, 0.8)


def test_defense_sentence_says_why_there_is_no_adaptive_attack():
    value = {"mAP": 0.5}
    defense = {"name": "jpeg", "clean": value, "oblivious": value, "adaptive": {"mAP": 0.02}}
    assert "2.0% under an attack through the defense" in words.defense_sentence(defense)
    defense |= {"adaptive": None, "adaptive_reason": "the model is an ONNX file"}
    assert words.defense_sentence(defense).endswith(
        "No adaptive attack: the model is an ONNX file."
    )


def test_threat_model():
    images = {"total": 19_732, "attacked": 15_913, "unchanged": 12}
    found = dict(words.threat_model({"metric": "", "space": "stored"}, images, "gallery", "cosine"))
    assert found["Attacker"].startswith("white-box")
    assert found["Metric"] == "cosine"
    assert "15,913 of the data set's 19,732 images" in found["Attacked images"]
    assert "12 of these came out unchanged" in found["Attacked images"]
    attack = {"sha256": "0a", "model": "osnet_x1_0", "space": "network"}
    found = dict(words.threat_model(attack, images, "gallery", "cosine"))
    assert found["Attacker"] == (
        "noise learned before against osnet_x1_0, without gradients of the scored model"
    )
    assert "network" in found["Stored as"]
    attack = {"metric": "euclidean", "normalized": True, "targeted": True}
    found = dict(words.threat_model(attack, images, "gallery", "cosine"))
    assert found["Metric"] == "euclidean of unit features"
    assert found["Attacker"].endswith("toward chosen identities")


def test_config_lines_are_the_config_as_yaml():
    config = {"adv": {"attack": {"eps": 5.0, "name": "ifgsm"}}, "names": ["é", "x\ny: z"]}
    assert yaml.safe_load("\n".join(words.config_lines(config))) == config
    tree = json.loads(json.dumps({"odd": str(object)}))
    assert yaml.safe_load("\n".join(words.config_lines({"odd": object}))) == tree


def test_table_rows():
    value = {"mAP": 0.5, "cmc": {"1": 0.4, "5": 0.6, "10": 0.7, "20": 0.8}, "mINP": 0.1}
    reranked = {"mAP": 0.55, "cmc": {"1": 0.45, "5": 0.6, "10": 0.7, "20": 0.8}}
    defense = {
        "name": "jpeg", "clean": value, "oblivious": value, "adaptive": None,
        "adaptive_reason": "no gradient", "draws": {"n": 5, "std": 0.004, "worst": 0.48},
    }  # fmt: skip
    table = measures(
        {"clean": value | {"rerank": reranked}, "adversarial": value, "adversarial_float": None,
         "defense": defense}
    )  # fmt: skip
    assert [name for name, _ in table.groups()] == ["Undefended", "With re-ranking", "Behind jpeg"]
    undefended, rerank, behind = (rows for _, rows in table.groups())
    shown = [[cell.text for cell in table.cells(row)] for row in (*undefended, *rerank)]
    assert shown[0] == ["50.0%", "10.0%", "40.0%", "60.0%", "70.0%", "80.0%"]
    assert shown[2] == [DASH] * 6
    assert [cells[0] for cells in shown[3:]] == ["55.0%"]
    assert [row.name for row in behind] == ["clean", "oblivious", "adaptive"]
    assert table.notes["Behind jpeg"] == (
        "no gradient; 5 random draws: mAP deviates by 0.40%, the worst is 48.0%"
    )
