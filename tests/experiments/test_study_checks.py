"""What a study cannot do is refused before anything is trained, by every study."""

import inspect

import pytest
import toys

from torchreid_adv import errors
from torchreid_adv.registry import STUDIES

TWO_SETS = ("data.targets", "['virtual_a', 'virtual_c_long']")
REFUSED = {  # study -> pairs that it cannot work with -> what is said
    "calibration": {
        TWO_SETS: "tests on one data set",
        ("adv.study.models", "['a-2=tiny', 'b=tiny']"): "calls a network 'a-2'",
    },
    "cheap_training": {
        TWO_SETS: "tests on one data set",
        ("adv.study.methods", "['fgsmrs']"): "did you mean 'fgsm_rs'?",
    },
    "ensemble": {
        TWO_SETS: "tests on one data set",
        ("adv.study.methods", "['plains']"): "did you mean 'plain'?",
    },
    "selection": {("adv.selection.data", ""): "needs adv.selection.data"},
    "starts": {("adv.start.sources", "[]"): "name people in adv.start.sources"},
    "universal": {
        ("adv.meta.virtual", "virtual_c"): "must not be learned or tested on",
        ("data.targets", "['virtual_a']"): "one of these is missing",
    },
    "video_weights": {("adv.study.weights", "[[1.0], [0.5]]"): "three lists of positive"},
}
FILES = {"starts": "calibration", "video_weights": "video"}


@pytest.mark.parametrize(
    ("name", "pairs", "said"),
    [(name, pairs, said) for name, cases in REFUSED.items() for pairs, said in cases.items()],
)
def test_it_is_refused_before_anything_is_trained(name, pairs, said, tmp_path, monkeypatch, capsys):
    def never(*_, **__):
        raise AssertionError("something is trained")

    monkeypatch.setattr("torchreid_adv.engines.trained._train", never)
    code = toys.study(name, tmp_path, *pairs, file=FILES.get(name, name))
    assert code == errors.ConfigError.exit_code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("model.pth*"))


def test_every_check_is_tried_here_and_no_study_refuses_later():
    checked = {name for name in STUDIES if "check" in STUDIES.facts(name)}
    assert checked == set(REFUSED)
    for name in STUDIES:
        assert "ConfigError" not in inspect.getsource(STUDIES.get(name)), name
