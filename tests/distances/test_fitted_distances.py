"""XQDA and KISSME against loops over all pairs, and on degenerate training sets."""

import itertools

import pytest
import torch

from torchreid_adv.distances import KISSME, XQDA, build_distance
from torchreid_adv.distances.kissme import pair_scatter
from torchreid_adv.distances.xqda import cross_camera_scatter
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import evaluate
from torchreid_adv.models import Features


def people(identities=5, cameras=3, images=2, width=4, seed=0, missing=0.3):
    """Random features with uneven numbers of images per identity and camera."""
    draws = torch.Generator().manual_seed(seed)
    labels = [
        (pid, camid)
        for pid, camid, _ in itertools.product(range(identities), range(cameras), range(images))
        if float(torch.rand((), generator=draws)) > missing
    ]
    pids, camids = torch.tensor(labels).T
    centers = torch.randn(identities, width, generator=draws).double()
    noise = torch.randn(len(pids), width, generator=draws).double()
    return centers[pids] + 0.4 * noise, pids, camids


def slow_scatter(features, pids, camids, cross_camera):
    """The two covariances by loops over pairs."""
    sums, counts = (
        [torch.zeros(features.shape[1], features.shape[1]).double() for _ in "sd"],
        [0, 0],
    )
    for i, j in itertools.combinations(range(len(features)), 2):
        if cross_camera and camids[i] == camids[j]:
            continue
        kind = int(pids[i] != pids[j])
        difference = features[i] - features[j]
        sums[kind] += torch.outer(difference, difference)
        counts[kind] += 1
    return [total / count for total, count in zip(sums, counts, strict=True)]


@pytest.mark.parametrize("seed", range(3))
def test_closed_forms_are_the_sums_over_all_pairs(seed):
    features, pids, camids = people(seed=seed)
    for found, cross in (
        (cross_camera_scatter(features, pids, camids), True),
        (pair_scatter(features, pids), False),
    ):
        wanted = slow_scatter(features, pids, camids, cross)
        for ours, theirs in zip(found, wanted, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


def test_two_cameras_are_the_published_two_views():
    """n_I, Sigma_I, n_E and Sigma_E as Liao et al. print them, from class sums of two views."""
    features, pids, camids = people(identities=6, cameras=2, images=3)
    x, z = features[camids == 0], features[camids == 1]
    x_pids, z_pids = pids[camids == 0], pids[camids == 1]
    n, m = len(x), len(z)
    inner, count = torch.zeros(4, 4).double(), 0
    for pid in range(6):
        xk, zk = x[x_pids == pid], z[z_pids == pid]
        inner += len(zk) * xk.T @ xk + len(xk) * zk.T @ zk
        inner -= torch.outer(xk.sum(0), zk.sum(0)) + torch.outer(zk.sum(0), xk.sum(0))
        count += len(xk) * len(zk)
    outer = m * x.T @ x + n * z.T @ z - torch.outer(x.sum(0), z.sum(0))
    outer = (outer - torch.outer(z.sum(0), x.sum(0)) - inner) / (n * m - count)
    same, different = cross_camera_scatter(features, pids, camids)
    assert torch.allclose(same, inner / count, atol=1e-12)
    assert torch.allclose(different, outer, atol=1e-12)


def matrix_of(distance):
    return distance.factor @ distance.factor.T


def test_xqda_is_its_definition():
    features, pids, camids = people(width=6, missing=0.1)
    same, different = slow_scatter(features, pids, camids, True)
    same = same + 1e-3 * torch.eye(6)
    ratios, directions = torch.linalg.eig(torch.linalg.inv(same) @ different)
    kept = ratios.real > 1
    assert 0 < int(kept.sum()) < 6
    w = directions.real[:, kept]
    kernel = torch.linalg.inv(w.T @ same @ w) - torch.linalg.inv(w.T @ different @ w)
    found = XQDA().fit(features, pids, camids)
    assert found.factor.shape == (6, int(kept.sum()))
    assert torch.allclose(matrix_of(found), w @ kernel @ w.T, atol=1e-8)


def test_kissme_is_its_definition():
    features, pids, camids = people(width=6, missing=0.1, seed=1)
    same, different = slow_scatter(features, pids, camids, False)
    matrix = torch.linalg.inv(same) - torch.linalg.inv(different)
    values, vectors = torch.linalg.eigh(matrix)
    assert values[0] < 0 < values[-1]  # clipping has something to do
    wanted = vectors @ torch.diag(values.clamp_min(0)) @ vectors.T
    found = KISSME(dimension=6).fit(features, pids, camids)
    assert torch.allclose(matrix_of(found), wanted, atol=1e-8)


def test_kissme_works_in_principal_components():
    features, pids, camids = people(width=6, missing=0.1, seed=1)
    _, _, components = torch.linalg.svd(features - features.mean(0), full_matrices=False)
    projected = features @ components[:3].T
    small = KISSME(dimension=3).fit(projected, pids, camids)
    found = KISSME(dimension=3).fit(features, pids, camids)
    assert torch.allclose(found(features, features), small(projected, projected), atol=1e-8)


@pytest.mark.parametrize("kind", [XQDA, KISSME])
@pytest.mark.parametrize("normalize", [False, True])
def test_normalized_features_are_fitted_and_mapped(kind, normalize):
    features, pids, camids = people(width=6)
    found = kind(normalize=normalize).fit(features, pids, camids)
    by_hand = torch.nn.functional.normalize(features, dim=1) if normalize else features
    wanted = kind().fit(by_hand, pids, camids)
    assert torch.allclose(found(features, features), wanted(by_hand, by_hand), atol=1e-9)


def test_xqda_in_more_dimensions_than_samples_is_xqda_without_reduction():
    features, pids, camids = people(identities=3, width=40)
    assert len(features) < 40
    found = XQDA().fit(features, pids, camids)
    same, different = slow_scatter(features, pids, camids, True)
    ratios, w = torch.linalg.eig(torch.linalg.inv(same + 1e-3 * torch.eye(40)) @ different)
    w = w.real[:, ratios.real > 1 + 1e-9]
    kernel = torch.linalg.inv(w.T @ (same + 1e-3 * torch.eye(40)) @ w)
    kernel -= torch.linalg.inv(w.T @ different @ w)
    assert torch.allclose(matrix_of(found), w @ kernel @ w.T, rtol=1e-6, atol=1e-6)


def sides(seed):
    """Training and test people told apart by 3 of 20 directions, all else loud and camera-bound."""
    draws = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(20, 20, generator=draws).double()).Q
    found = []
    for identities in (40, 30):
        pids = torch.arange(identities).repeat_interleave(6)
        camids = torch.arange(3).repeat(2 * identities)
        features = 2 * torch.randn(len(pids), 20, generator=draws).double()
        own = 2 * torch.randn(identities, 3, generator=draws).double()
        features[:, :3] = own[pids] + 0.3 * torch.randn(len(pids), 3, generator=draws)
        found.append((features @ turn, pids, camids))
    return found


@pytest.mark.parametrize("kind", [XQDA, KISSME])
def test_beats_the_euclidean_distance_where_few_directions_tell(kind):
    train, (features, pids, camids) = sides(3)
    names = tuple(map(str, range(len(pids))))
    test = Features(features, pids, camids, names)
    learned = evaluate(test, test, distance=kind().fit(*train)).mAP
    assert learned > evaluate(test, test, distance=build_distance("euclidean")).mAP + 0.3


@pytest.mark.parametrize("kind", [XQDA, KISSME])
def test_the_matrix_is_positive_semi_definite_and_float64(kind):
    found = kind().fit(*people(width=6)).factor
    assert found.dtype == torch.float64
    assert torch.linalg.eigvalsh(found @ found.T)[0] > -1e-10


@pytest.mark.parametrize("kind", [XQDA, KISSME])
def test_use_before_fit_is_refused(kind):
    distance = kind()
    assert not distance.fitted
    with pytest.raises(ConfigError, match="has not been fitted"):
        distance(torch.ones(2, 3), torch.ones(2, 3))
    assert distance.fit(*people()).fitted


FEATURES, PIDS, CAMIDS = people()
ALONE = torch.arange(len(PIDS))
NONE = torch.zeros_like(PIDS)


@pytest.mark.parametrize(
    ("kind", "features", "pids", "camids", "sentence"),
    [
        (XQDA, FEATURES, PIDS, NONE, "XQDA compares cameras"),
        (XQDA, FEATURES, NONE, CAMIDS, "different identities seen by different cameras"),
        (XQDA, FEATURES, ALONE, CAMIDS, "identities that several cameras saw"),
        (XQDA, FEATURES, CAMIDS, CAMIDS, "identities that several cameras saw"),
        (KISSME, FEATURES, NONE, CAMIDS, "KISSME compares identities"),
        (KISSME, FEATURES, ALONE, CAMIDS, "identities with several images"),
        (KISSME, FEATURES * 0 + PIDS[:, None], PIDS, CAMIDS, "cannot invert"),
        (XQDA, FEATURES * 0 + 3, PIDS, CAMIDS, "features that differ"),
        (KISSME, FEATURES * 0, PIDS, CAMIDS, "features that differ"),
        (XQDA, FEATURES / 0, PIDS, CAMIDS, "NaN or infinity"),
        (KISSME, FEATURES, PIDS[:-1], CAMIDS, "with N pids and camids"),
        (XQDA, FEATURES[0], PIDS, CAMIDS, "features \\(N, D\\)"),
        (XQDA, FEATURES[:1], PIDS[:1], CAMIDS[:1], "features that differ"),
    ],
)
def test_training_sets_that_cannot_be_learned_from_are_refused_in_a_sentence(
    kind, features, pids, camids, sentence
):
    with pytest.raises(DataError, match=sentence) as caught:
        kind().fit(features, pids, camids)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [XQDA, KISSME])
@pytest.mark.parametrize(
    "case", ["collinear", "constant column", "fewer images", "huge", "tiny", "with singletons"]
)
def test_odd_training_sets_are_learned_from(kind, case):
    features, pids, camids = people(width=5)
    if case == "collinear":
        features[:, 4] = 2 * features[:, 0]
    if case == "constant column":
        features[:, 2] = 7
    if case == "fewer images":
        features, pids, camids = people(identities=3, width=50)
    if case == "huge":
        features *= 1e6
    if case == "tiny":
        features *= 1e-3
    if case == "with singletons":
        pids[-3:] = torch.arange(90, 93)
    found = kind().fit(features, pids, camids)(features, features)
    assert torch.isfinite(found).all()
    assert found.max() > 0
    assert found.min() > -1e-6 * found.max()


def test_one_camera_is_enough_for_kissme():
    features, pids, _ = people()
    assert KISSME().fit(features, pids, torch.zeros_like(pids)).fitted


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        (XQDA, {"regularizer": 0}, "positive number"),
        (XQDA, {"regularizer": float("nan")}, "positive number"),
        (XQDA, {"regularizer": "much"}, "positive number"),
        (KISSME, {"dimension": 0}, "1 or more"),
        (KISSME, {"dimension": 2.5}, "1 or more"),
    ],
)
def test_options_out_of_range_are_refused(kind, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        kind(**options)


def test_fitting_leaves_the_features_alone():
    features, pids, camids = people()
    before = features.clone()
    XQDA(normalize=True).fit(features, pids, camids)
    assert torch.equal(features, before)
