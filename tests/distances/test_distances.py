import pytest
import torch

from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("normalize", [False, True])
def test_equals_torchreid_to_the_last_bit(metric, normalize):
    a, b = torch.randn(7, 33), torch.randn(40, 33)
    theirs_a, theirs_b = a, b
    if normalize:
        theirs_a, theirs_b = (torch.nn.functional.normalize(x, dim=1) for x in (a, b))
    theirs = torchreid_module("metrics").compute_distance_matrix(theirs_a, theirs_b, metric)
    ours = build_distance(metric, normalize=normalize)(a, b)
    assert torch.equal(ours, theirs) or (metric == "cosine" and torch.allclose(ours, theirs))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_is_scale_times_the_squared_distance_of_mapped_features(metric):
    a, b = torch.randn(5, 9, dtype=torch.float64), torch.randn(6, 9, dtype=torch.float64)
    distance = build_distance(metric)
    slow = torch.tensor(
        [
            [float(((distance.map(x[None]) - distance.map(y[None])) ** 2).sum()) for y in b]
            for x in a
        ]
    )
    assert torch.allclose(distance(a, b), distance.scale * slow.double(), atol=1e-12)


def test_an_unknown_distance_is_named():
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        build_distance("cosin")
