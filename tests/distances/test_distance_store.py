"""Fitted distances come back from files to the bit."""

import pytest
import torch
from safetensors.torch import save_file

from torchreid_adv.distances import KISSME, XQDA, Mahalanobis, load_distance, save_distance
from torchreid_adv.errors import ConfigError


def fit(distance):
    draws = torch.Generator().manual_seed(0)
    pids = torch.arange(6).repeat(4)
    features = torch.randn(6, 5, generator=draws)[pids] + torch.randn(24, 5, generator=draws) / 3
    return distance.fit(features, pids, torch.arange(24) // 6)


@pytest.mark.parametrize(
    "distance", [XQDA(), XQDA(normalize=True, regularizer=0.1), KISSME(dimension=3)], ids=str
)
def test_what_was_saved_is_loaded_to_the_bit(tmp_path, distance):
    path = tmp_path / "metric.safetensors"
    save_distance(path, fit(distance))
    found = load_distance(path)
    assert found.settings == distance.settings
    a = torch.randn(7, 5)
    assert torch.equal(found(a, a), distance(a, a))
    factor = Mahalanobis(factor=path, normalize=distance.normalize)
    assert torch.allclose(factor(a, a), distance(a, a), atol=1e-3)


def test_one_that_was_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(ConfigError, match="has not been fitted"):
        save_distance(tmp_path / "metric.safetensors", XQDA())
    assert not list(tmp_path.iterdir())


ABOUT = '{"name": "%s", "normalize": false, "options": {}}'


@pytest.mark.parametrize(
    ("tensors", "about"),
    [
        (None, None),
        ({"factor": torch.eye(2)}, None),
        ({"factor": torch.eye(2)}, ABOUT % "xqda"),
        ({"factor": torch.eye(2), "center": torch.zeros(3)}, ABOUT % "xqda"),
        ({"factor": torch.eye(2), "center": torch.zeros(2)}, ABOUT % "xqdb"),
        ({"factor": torch.eye(2), "center": torch.zeros(2)}, ABOUT % "euclidean"),
        ({"factor": torch.eye(2), "center": torch.zeros(2)}, "[1]"),
        ({"factor": torch.eye(2), "center": torch.zeros(2)}, "not JSON"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, tensors, about):
    path = tmp_path / "metric.safetensors"
    if tensors is None:
        path.write_bytes(b"something else")
    else:
        save_file(tensors, path, metadata={"distance": about} if about else None)
    with pytest.raises(ConfigError) as caught:
        load_distance(path)
    assert "\n" not in str(caught.value)


def test_no_file_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read as a fitted distance"):
        load_distance(tmp_path / "none.safetensors")
