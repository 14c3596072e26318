"""Target maps: every form is refused in a sentence, or says exactly what is attacked."""

import json
from pathlib import Path

import pytest
import torch

from torchreid_adv.attacks import References, build_attack
from torchreid_adv.attacks.build import check_target
from torchreid_adv.attacks.references import target_map
from torchreid_adv.data.datasets import Record
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import Features

KNOWN = torch.tensor([1, 2, 3, 3])
RECORDS = [
    Record(image_id=f"gallery/{name}.jpg", path=Path(name), pid=pid, camid=0)
    for name, pid in (("a", 1), ("b", 1), ("c", 2), ("d", 0), ("e", -1))
]
A, B, C, D, E = (record.image_id for record in RECORDS)


def mapped(content, tmp_path, **options):
    path = tmp_path / "map.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return target_map(str(path), RECORDS, KNOWN, side="gallery", **options)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({A: 2, "1": 3, "2": 1}, {A: 2, B: 3, C: 1}),
        ({A: 2}, {A: 2}),
        ({"0": 1, "-1": 2}, {D: 1, E: 2}),
        ({"01": "3"}, {A: 3, B: 3}),
        ({A: 2, "1": 2}, {A: 2, B: 2}),
        ("\ufeff" + json.dumps({C: 3}), {C: 3}),
    ],
)
def test_a_file_says_exactly_what_is_attacked(tmp_path, content, expected):
    assert mapped(content, tmp_path) == expected


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "gives no gallery image another identity"),
        ({A: 1}, "pulls 'gallery/a.jpg' to identity 1, which is its own"),
        ({"1": 1}, "which is its own"),
        ({"1": 2, "2": 2}, "pulls 'gallery/c.jpg' to identity 2, which is its own"),
        ({A: 9}, "identity 9, which has no image on the other side; known are 1 to 3"),
        ({A: -5}, "identity -5, which has no image"),
        ({A: 10**30}, "cannot be read|which has no image"),
        ({"gallery/A.jpg": 2}, "names the image 'gallery/A.jpg'.*did you mean 'gallery/a.jpg'"),
        ({"query/a.jpg": 2}, "names the image 'query/a.jpg', but there is no such gallery image"),
        ({"7": 2}, "names the identity '7', but there is no such gallery image"),
        ({"": 2}, "names the image ''"),
        ({"1": 2, "01": 3}, "gives identity 1 two targets"),
        ('{"1": 2, "1": 3}', "'1' is in it twice"),
        ({A: 1.5}, "a pid is a whole number"),
        ({A: True}, "a pid is a whole number"),
        ({A: None}, "a pid is a whole number"),
        ({A: [2]}, "a pid is a whole number"),
        ({A: "x"}, "a pid is a whole number"),
        ([[A, 2]], "it holds a list"),
        ("3", "it holds a int"),
        ("null", "it holds a NoneType"),
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"1": NaN}', "a pid is a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, content, sentence):
    with pytest.raises(ConfigError, match=sentence):
        mapped(content, tmp_path)


def test_bad_images_may_be_in_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"no such gallery image"):
        mapped({A: 2, "gallery/bad.jpg": 2}, tmp_path)
    found = mapped({A: 2, "gallery/bad.jpg": 2}, tmp_path, left_out={"gallery/bad.jpg"})
    assert found == {A: 2}


@pytest.mark.parametrize("setting", ["", "x.json", ".", "--5", "²", "1.0", "9" * 5000, "None"])
def test_a_setting_that_is_nothing_is_refused(setting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"adv.attack.target_map"):
        target_map(setting, RECORDS, KNOWN)


def test_one_target_leaves_its_own_images():
    assert target_map("1", RECORDS, KNOWN) == {C: 1, D: 1, E: 1}
    assert target_map("003", RECORDS, KNOWN) == dict.fromkeys((A, B, C, D, E), 3)
    with pytest.raises(ConfigError, match="nothing to attack"):
        target_map("1", RECORDS[:2], KNOWN)


def test_a_random_target_is_never_the_own_identity():
    for seed in range(20):
        found = target_map("random", RECORDS, KNOWN, seed=seed)
        assert set(found) == {A, B, C, D, E}
        assert all(found[record.image_id] != record.pid for record in RECORDS)


def test_what_has_no_target_has_no_reference():
    values = torch.rand(4, 3)
    features = Features(values, KNOWN, torch.zeros(4, dtype=torch.int64), tuple("wxyz"))
    names, pids = [A, B, C, D], torch.tensor([1, 1, 2, 0])
    targets = References(features, targets={A: 3, "2": 2})
    expected = [[False, False, True, True], [False] * 4, [False] * 4, [False] * 4]
    assert targets.mask(pids, None, names).tolist() == expected
    assert targets.known(pids, pids, names).tolist() == [True, False, False, False]
    assert References(features).known(pids, pids, names).tolist() == [True, True, True, False]


def test_blocks_find_what_one_look_finds():
    draws = torch.Generator().manual_seed(0)
    pids, camids = (torch.randint(0, n, (1000,), generator=draws) for n in (40, 5))
    features = Features(torch.rand(300, 2), pids[:300], camids[:300], tuple(map(str, range(300))))
    names = [str(row) for row in range(1000)]
    for rule in ("all", "other", "leave_one_out", "leave_one_out_or_self"):
        references = References(features, rule)
        expected = references.mask(pids, camids, names).any(1)
        assert torch.equal(references.known(pids, camids, names), expected)


def test_targets_and_attacks_belong_together():
    push, pull = (build_attack("ifgsm", eps=8 / 255, targeted=t) for t in (False, True))
    check_target(push, "")
    check_target(pull, "random")
    with pytest.raises(ConfigError, match="none are named"):
        check_target(pull, "")
    with pytest.raises(ConfigError, match="pushes away"):
        check_target(push, "3")
