"""Models without a gradient: asked and transferred to only, and not called standard."""

import dataclasses
import json

import pytest
import torch
from people import TOY, Stripes, pixel_model, write_people

from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.pixel_model import BlackBox
from torchreid_adv.standard.page import standard_page
from torchreid_adv.standard.result import lines, why_not
from torchreid_adv.standard.run import evaluate_standard
from torchreid_adv.standard.versions import STANDARD

SHORT = dataclasses.replace(TOY, eps=(60,), square=60, sample=4, bootstrap=20)


class Answers(BlackBox):
    """An honest network behind a wall, as an ONNX file is."""

    what = "an ONNX file"

    def __init__(self):
        super().__init__()
        self.network = Stripes()

    def forward(self, images):
        return self.network(images).detach()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    torch.set_num_threads(1)
    return write_people(tmp_path_factory.mktemp("people"), identities=6)


def surrogates():
    return [pixel_model(Stripes(1)), pixel_model(Stripes(2))]


def test_only_attacks_that_ask_or_transfer_are_made_and_the_headline_says_so(data, tmp_path):
    model = pixel_model(Answers())
    result = evaluate_standard(model, data, out=tmp_path, version=SHORT, surrogates=surrogates())
    standard = result["standard"]
    assert standard["name"] == "SRR-toy-black-box"
    assert standard["headline"].startswith("The model is an ONNX file, which has no gradient")
    assert not standard["called_standard"]
    assert standard["reasons"][0].startswith("attacks by gradients are missing")
    for track, kind in (("Q", "attacks"), ("G", "galleries")):
        found = set(result["tracks"][track]["60"][kind]) - {"composed"}
        assert found == {"noise", "transfer", "square"}
    assert (
        result["tracks"]["Q"]["60"]["robust"]["mAP"] < result["tracks"]["Q"]["60"]["clean"]["mAP"]
    )
    assert result["flags"] == []  # there is nothing to compare them with
    assert set(result["curve"]["curve"]) == {0}  # clean; nothing is said of any other bound
    assert result["model"]["parameters"] is None
    assert json.loads((tmp_path / "standard.json").read_text()) == json.loads(json.dumps(result))
    assert lines(result).__next__().startswith("** SRR-toy-black-box")
    assert standard["headline"] in list(lines(result))
    page = standard_page(model, data, out=tmp_path).read_text()
    assert standard["headline"] in page
    assert "There is no curve, because it needs gradient attacks." in page


@pytest.mark.slow
def test_behind_a_defense_there_are_no_three_rows(data, tmp_path):
    model = Defended(build_defense("bit_depth", bits=3), pixel_model(Answers()))
    result = evaluate_standard(
        model, data, out=tmp_path, version=SHORT, surrogates=surrogates(), tracks=["Q"]
    )
    facts = result["tracks"]["Q"]["60"]
    assert facts["defense"] is None
    assert "oblivious" not in facts["attacks"]
    assert result["standard"]["headline"]


def test_a_surrogate_needs_a_gradient(data, tmp_path):
    others = [pixel_model(Stripes(1)), pixel_model(Answers())]
    with pytest.raises(ConfigError, match="a surrogate is an ONNX file"):
        evaluate_standard(
            pixel_model(Stripes()), data, out=tmp_path, version=SHORT, surrogates=others
        )


def test_nothing_calls_it_standard():
    assert why_not(STANDARD, 2, []) == []
    assert why_not(STANDARD, 2, [], "an ONNX file")
