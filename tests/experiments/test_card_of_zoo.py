"""Cards of a zoo: every model is scored and attacked through its own defense, and verified so."""

import json

import pytest
import torch
from experiments.cards import KEYS, call, short_card
from markets import write_market

from torchreid_adv.experiments.card.content import CARD

DEFENSE = "jpeg"


def zoo_file(root, **members):
    path = root / f"{'-'.join(members)}.yaml"
    path.write_text(
        f"model: {{name: tiny, pretrained: False}}\nadv: {{zoo: {json.dumps(members)}}}"
    )
    return path


def words(root, file, command):
    data = ["-t", "market1501", "--root", root / "data"]
    return (command, "--config-file", file, *data, *KEYS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    write_market(root / "data", identities=4, cameras=2, images=1, distractors=1, sizes=((40, 24),))
    from scripts.tiny_model import Tiny

    torch.manual_seed(0)
    torch.save({"state_dict": Tiny().state_dict()}, root / "a.pth")
    own = {"model.load_weights": str(root / "a.pth")}
    defended = {**own, "adv.defense.name": DEFENSE, "data.height": 48}
    file = zoo_file(root, plain=own, behind=defended)
    with short_card():
        assert call(*words(root, file, "card"), "data.save_dir", root / "out") == 0
        yield root, file


def content(made, label, name):
    return json.loads((made[0] / "out" / "market1501" / label / name).read_text())


def test_each_model_has_a_card_and_all_of_them_a_comparison(made):
    cards = [content(made, label, CARD) for label in ("plain", "behind")]
    assert [card["model"]["name"] for card in cards] == ["plain", "behind"]
    assert [card["cost"]["size"] for card in cards] == [[32, 16], [48, 16]]
    compared = json.loads((made[0] / "out" / "market1501" / "cards.json").read_text())
    assert all(label in json.dumps(compared) for label in ("plain", "behind"))


def test_only_the_defended_model_is_tested_through_a_defense(made):
    plain, behind = (content(made, label, "standard.json") for label in ("plain", "behind"))
    assert not plain["model"].get("defense")
    assert DEFENSE in json.dumps(behind["model"]["defense"]).lower()


@pytest.mark.parametrize("label", ["plain", "behind"])
def test_a_card_is_scored_again_through_the_defense_of_its_model(made, capsys, label):
    root, file = made
    folder = root / "out" / "market1501" / label
    assert call("verify", folder, *words(root, file, "")[1:]) == 0
    assert "Card scored again" in capsys.readouterr().out


def test_a_zoo_without_the_defense_does_not_verify_the_card(made, capsys):
    root, _ = made
    other = zoo_file(root, behind={"model.load_weights": str(root / "a.pth"), "data.height": 48})
    folder = root / "out" / "market1501" / "behind"
    assert call("verify", folder, *words(root, other, "")[1:]) != 0
    assert "defense" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["card", "standard"])
def test_two_lists_of_models_are_refused_before_anything_is_loaded(made, capsys, command):
    root, file = made
    named = words(root, file, command)
    code = call(command, f"mine=tiny:{root / 'a.pth'}", "--dry-run", *named[1:])
    assert (code, "leave one of them out" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize("command", ["card", "standard"])
def test_a_wrong_model_of_a_zoo_is_refused_before_anything_is_loaded(made, capsys, command):
    root, _ = made
    other = zoo_file(root, normal={"adv.attack.eps": 3.0})
    assert call(*words(root, other, command)) == 2
    assert "adv.zoo.normal sets 'adv.attack.eps'" in capsys.readouterr().err
