"""Rows of the paper's table: from its words to parts, and from a checkpoint's names."""

import pytest

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.self_attack.parts import BASELINE, WHOLE, parts_in, parts_of

ROWS = {
    BASELINE: (False, False, "none"),
    "B+ASAM": (True, False, "none"),
    "B+ADM": (False, True, "none"),
    "B+FRM-STIG": (False, False, "full"),
    "B+ASAM+ADM": (True, True, "none"),
    "B+ASAM+ADM+FR-E-TI": (True, True, "temporal"),
    "B+ASAM+ADM+FRM-STIG*": (True, True, "no_spatial"),
    WHOLE: (True, True, "full"),
}
OF_PARTS = {  # names of tensors that only networks with a part have
    "none": [],
    "temporal": ["guidance.motion.weight_ih_l0"],
    "no_spatial": ["guidance.motion.weight_ih_l0", "guidance.gate.0.weight"],
    "full": [
        "guidance.motion.weight_ih_l0",
        "guidance.gate.0.weight",
        "guidance.spatial.weight_ih_l0",
    ],
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_words_and_checkpoints_name_the_same_parts(row, prefix):
    attack, defense, guidance = ROWS[row]
    expected = {"attack": attack, "defense": defense, "guidance": guidance}
    assert parts_of(row) == expected
    names = ["stem_visible.0.weight", "defender.0.0.conv1.weight", "neck.weight"]
    names += ["attacker.0.0.conv1.weight", "attention.query.weight"] if attack else []
    names += ["cross_middle.query.weight", "cross_last.query.weight"] if defense else []
    names = [prefix + name for name in [*names, *OF_PARTS[guidance]]]
    assert parts_in(names) == expected | {"parts_neck": "none"}


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_a_real_network_is_known_by_its_state(row):
    from torchreid_adv.models.loading import build_network

    parts = parts_of(row)
    network = build_network("self_attack_video_resnet18", classes=2, parts=parts)
    assert parts_in(network.state_dict()) == parts | {"parts_neck": "none"}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [("B+ASAN", "unknown part 'ASAN'.*did you mean 'ASAM'"), ("ASAM+ADM", "begins with")],
)
def test_another_word_is_an_error(row, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parts_of(row)
