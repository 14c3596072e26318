import importlib.util
import sys

import numpy as np
import pytest
import torch

from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import neighbors, topk
from torchreid_adv.evaluation.neighbors import nearest, pair_distances
from torchreid_adv.models import Features

needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="FAISS is not installed"
)
BACKENDS = ["torch", pytest.param("faiss", marks=needs_faiss)]


def slow_nearest(query, gallery, k):
    """The k nearest by sums of squared float64 differences, ties in the order of the gallery."""
    a, b = (np.asarray(side, np.float64) for side in (query, gallery))
    distances = np.stack([((row - b) ** 2).sum(1) for row in a])
    images = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return images, np.take_along_axis(distances, images, 1), distances.max(1)


def drawn(seed, count, length, spread=1.0):
    return torch.randn(count, length, generator=torch.Generator().manual_seed(seed)) * spread


def assert_nearest(query, gallery, k, backend="torch"):
    found = nearest(query, gallery, k, backend=backend, farthest=True)
    images, distances, farthest = slow_nearest(query, gallery, k)
    assert found.images.tolist() == images.tolist()
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5)
    np.testing.assert_allclose(found.farthest, farthest, rtol=1e-4)


def test_hand_worked_example():
    found = nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[3.0], [-1.0], [9.0], [1.0]]), 2)
    assert found.images.tolist() == [[1, 3], [0, 2]]
    assert found.distances.tolist() == [[1, 1], [4, 16]]
    assert found.farthest is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("count", "k"), [(1, 1), (7, 7), (90, 3), (333, 21), (1000, 1)])
def test_equals_a_slow_search(backend, count, k):
    assert_nearest(drawn(1, 41, 13), drawn(2, count, 13), k, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_equally_near_images_come_in_the_order_of_the_gallery(backend):
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randint(-1, 2, (400, 3), generator=generator).float()
    query = torch.randint(-2, 3, (50, 3), generator=generator).float()
    assert_nearest(query, gallery, 9, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_copies_than_candidates_are_proposed(backend):
    row = drawn(4, 1, 16)
    gallery = torch.cat([drawn(3, 100, 16), row.repeat(60, 1), drawn(5, 100, 16)])
    found = nearest(row, gallery, 5, backend=backend)
    assert found.images.tolist() == [[100, 101, 102, 103, 104]]
    assert found.distances.tolist() == [[0] * 5]


@pytest.mark.parametrize("backend", BACKENDS)
def test_rounding_of_products_decides_nothing(backend):
    # far from the origin a float32 product of such features is wrong by more than they differ
    gallery = drawn(6, 300, 64, spread=1e-3) + 100
    query = gallery[:50] + drawn(7, 50, 64, spread=1e-4)
    by_product = torch.cdist(query, gallery, compute_mode="use_mm_for_euclid_dist")
    images, _, _ = slow_nearest(query, gallery, 6)
    assert by_product.argsort(1)[:, :6].tolist() != images.tolist()
    found = nearest(query, gallery, 6, backend=backend)
    assert found.images.tolist() == images.tolist()


@needs_faiss
@pytest.mark.parametrize("seed", range(5))
def test_both_searches_return_the_same_numbers(seed):
    centers = drawn(seed, 30, 32)
    side = centers[torch.arange(600) % 30] + drawn(seed + 100, 600, 32, spread=0.1)
    side[::7] = side[3].clone()  # more equal ones than FAISS is asked for
    by_torch, by_faiss = (
        nearest(side, side, 12, backend=name, farthest=True) for name in ("torch", "faiss")
    )
    assert (by_torch.images == by_faiss.images).all()
    assert (by_torch.distances == by_faiss.distances).all()
    np.testing.assert_array_equal(by_torch.farthest, by_faiss.farthest)


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_blocks_change_nothing(monkeypatch, rows):
    query, gallery = drawn(8, 40, 24), drawn(9, 257, 24)
    whole = nearest(query, gallery, 10)
    monkeypatch.setattr(neighbors, "_MOST_ROWS", rows)
    monkeypatch.setitem(neighbors._DIFFERENCES, "cpu", 100)
    monkeypatch.setattr(neighbors, "_PIECE", 11)
    pieces = nearest(query, gallery, 10)
    assert (pieces.images == whole.images).all()
    assert (pieces.distances == whole.distances).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_float64_features_are_measured_in_float64(backend):
    gallery = drawn(10, 200, 8).double()
    gallery[100] = gallery[50] * (1 + 1e-12)
    found = nearest(gallery[50:51] * 1.5, gallery, 2, backend=backend)
    assert found.distances.dtype == np.float64
    assert found.images.tolist() == [[100, 50]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_measured_in_float32(dtype):
    query, gallery = drawn(14, 20, 8).to(dtype), drawn(15, 90, 8).to(dtype)
    assert nearest(query, gallery, 4).distances.dtype == np.float32
    assert_nearest(query.float(), gallery.float(), 4)


def test_features_are_left_as_they_are():
    query, gallery = drawn(11, 5, 4), drawn(12, 9, 4)
    before = query.clone(), gallery.clone()
    nearest(query, gallery, 3)
    assert torch.equal(query, before[0])
    assert torch.equal(gallery, before[1])


def test_distances_of_pairs():
    a, b = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    pairs = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 0])
    assert pair_distances(a, b, *pairs).tolist() == [16, 25, 25]


def test_faults_are_named(monkeypatch):
    good = drawn(13, 4, 3)
    with pytest.raises(ConfigError, match="1 or more; got 0"):
        nearest(good, good, 0)
    with pytest.raises(ConfigError, match="did you mean 'faiss'"):
        nearest(good, good, 1, backend="fais")
    with pytest.raises(DataError, match=r"\(4, 3\) and \(4, 2\)"):
        nearest(good, good[:, :2], 1)
    with pytest.raises(DataError, match=r"\(4, 3\) and \(0, 3\)"):
        nearest(good, good[:0], 1)
    for bad in (float("nan"), float("inf"), 1e30):
        with pytest.raises(DataError, match="not finite"):
            nearest(good, torch.full((4, 3), bad), 1)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match="FAISS is not installed"):
        nearest(good, good, 1, backend="faiss")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("k", [1, 7, 60])
def test_previews_are_the_lists_of_the_ranking(backend, k):
    """Junk is left out, lists that have ended are filled by -1, whoever looks for neighbors."""
    draw = torch.Generator().manual_seed(3)

    def side(count, prefix):
        pids, camids = (torch.randint(n, (count,), generator=draw) for n in (4, 3))
        names = tuple(f"{prefix}{row}" for row in range(count))
        return Features(torch.randn(count, 6, generator=draw), pids, camids, names)

    query, gallery = side(15, "q"), side(50, "g")
    lists = topk(query, gallery, k, backend=backend)
    assert torch.equal(lists, topk(query, gallery, k))
    assert (lists == -1).any() == (k == 60)
