import dataclasses

import pytest

from torchreid_adv import config
from torchreid_adv.config import keys
from torchreid_adv.data.virtual.folder import VirtualOptions
from torchreid_adv.errors import ConfigError


@pytest.mark.parametrize(
    "change",
    [
        {"train_identities": 0},
        {"test_identities": -1},
        {"cameras_per_identity": 1},
        {"images_per_camera": 1},
        {"distractors": -1},
        {"seed": -1},
        {"height": 12},
        {"width": 10_000},
        {"width": 64.0},
        {"seed": True},
        {"train_identities": 1000, "test_identities": 502},
    ],
)
def test_values_out_of_range_are_refused_by_name(change):
    with pytest.raises(ConfigError, match=f"adv.virtual.{next(iter(change))}"):
        VirtualOptions(**change)


def test_the_digest_tells_options_apart():
    digests = {VirtualOptions(seed=seed).digest() for seed in range(20)}
    assert len(digests) == 20
    assert VirtualOptions().digest() == VirtualOptions().digest()


def test_defaults_are_those_of_the_config():
    declared = {key.name.removeprefix("virtual."): key.default for key in keys.KEYS}
    for field in dataclasses.fields(VirtualOptions):
        assert declared[field.name] == field.default
    virtual = config.current().adv.virtual
    assert all(field.name in virtual for field in dataclasses.fields(VirtualOptions))
