"""``load_dataset`` opens the set that a training with the same settings used."""

import pytest

import torchreid_adv as adv
from torchreid_adv.errors import ConfigError

PEOPLE = {
    "adv.virtual.train_identities": 3,
    "adv.virtual.test_identities": 2,
    "adv.virtual.distractors": 0,
    "adv.virtual.height": 64,
    "adv.virtual.width": 32,
    "adv.virtual.cameras_per_identity": 2,
    "adv.virtual.images_per_camera": 2,
}


def test_settings_decide_which_people_are_rendered(tmp_path):
    data = adv.load_dataset("virtual_a", root=tmp_path, settings=PEOPLE)
    assert len({record.pid for record in data.query}) == 2
    assert len({record.pid for record in data.train}) == 3


def test_settings_hold_for_one_call(tmp_path):
    before = adv.config.current().adv.virtual.test_identities
    adv.load_dataset("virtual_a", root=tmp_path, settings=PEOPLE)
    assert adv.config.current().adv.virtual.test_identities == before


@pytest.mark.parametrize("key", ["adv.virtual.identities", "adv.virtual.test_identities"])
def test_wrong_settings_are_named(tmp_path, key):
    with pytest.raises(ConfigError, match=key):
        adv.load_dataset("virtual_a", root=tmp_path, settings={key: -1})
