import functools
import math
import tracemalloc

import numpy as np
import pytest
import torch
from retrieval_reference import features, random_labels

from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import Reranking, evaluate, evaluate_matrix, neighbors, rerank
from torchreid_adv.integration.layout import torchreid_module


def slow_rerank(distances, queries, k1=20, k2=6, weight=0.3):
    """The rules in float64, by loops and sets over a dense (N, N) matrix; ties by index."""
    count = len(distances)
    original = distances**2 / (distances**2).max(1, keepdims=True)
    order = np.argsort(original, axis=1, kind="stable")

    @functools.cache
    def reciprocals(image, k):
        return {j for j in order[image, : k + 1].tolist() if image in order[j, : k + 1]}

    encodings = np.zeros((count, count))
    for image in range(count):
        core = reciprocals(image, k1)
        members = set(core)
        for member in core:
            small = reciprocals(member, int(np.around(k1 / 2)))
            if 3 * len(small & core) > 2 * len(small):
                members |= small
        columns = sorted(members)
        encodings[image, columns] = np.exp(-original[image, columns])
        encodings[image] /= encodings[image].sum() or 1
    if k2 > 1:
        encodings = np.stack([encodings[order[image, :k2]].mean(0) for image in range(count)])
    jaccard = np.empty((queries, count - queries))
    for i in range(queries):
        least = np.minimum(encodings[i], encodings[queries:]).sum(1)
        jaccard[i] = 1 - least / (2 - least)
    return (1 - weight) * jaccard + weight * original[:queries, queries:]


def clustered(seed, queries, gallery, *, identities=15, length=24, signal=1.0):
    """Features of two sides around a center per identity, labels drawn."""
    generator = np.random.default_rng(seed)
    labels = random_labels(generator, queries, gallery, identities=identities)
    centers = generator.normal(0, signal, (identities + 1, length))
    return tuple(
        features(
            (centers[pids] + generator.normal(0, 1, (len(pids), length))).astype(np.float32),
            pids,
            camids,
        )
        for pids, camids in ((labels[0], labels[2]), (labels[1], labels[3]))
    )


def squares(query, gallery):
    """(N, N) squared Euclidean distances in float64."""
    values = torch.cat([query.values, gallery.values]).double().numpy()
    return ((values[:, None] - values) ** 2).sum(2)


def peer(query, gallery, metric="euclidean", **options):
    """torchreid's re-ranking of the matrices that its engine computes."""
    compute = torchreid_module("metrics").compute_distance_matrix
    pairs = ((query, gallery), (query, query), (gallery, gallery))
    matrices = [compute(a.values, b.values, metric).numpy() for a, b in pairs]
    return torchreid_module("utils.rerank").re_ranking(*matrices, **options)


OPTIONS = [
    {},
    {"k1": 1, "k2": 1},
    {"k1": 5, "k2": 1, "weight": 0.0},
    {"k1": 7, "k2": 3, "weight": 1.0},
    {"k1": 3, "k2": 9, "weight": 0.5},
    {"k1": 31, "k2": 12, "weight": 0.1},
    {"k1": 36, "k2": 90},
    {"k1": 99, "k2": 6},
]


def test_hand_worked_example():
    query = features([[0.0]], [1], [0])
    gallery = features([[1.0], [10.0]], [1, 2], [1, 1])
    # k1 = 1: the query and 1 have each other, 10 has only itself; no smaller set adds anything
    own = 1 / (1 + math.exp(-((1 / 100) ** 2)))  # the query's weight for itself, 1 - own for 1
    others = 1 / (1 + math.exp(-((1 / 81) ** 2)))  # the weight of 1 for itself
    shared = min(own, 1 - others) + min(1 - own, others)
    near = 0.5 * (1 - shared / (2 - shared)) + 0.5 * (1 / 100) ** 2
    matrix = Reranking(k1=1, k2=1, weight=0.5).matrix(query, gallery)
    assert matrix.tolist() == [pytest.approx([near, 1.0], abs=1e-6)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_slow_dense_reference(seed, options):
    query, gallery = clustered(seed, 10, 45)
    expected = slow_rerank(squares(query, gallery), 10, **options)
    matrix = Reranking(**options).matrix(query, gallery)
    assert matrix.dtype == torch.float32
    np.testing.assert_allclose(matrix, expected, atol=2e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_equally_far_images_come_in_order(seed, options):
    generator = np.random.default_rng(seed)
    values = generator.integers(-1, 2, (80, 3)).astype(np.float32)  # products are exact
    values[40:55] = values[:15]
    labels = random_labels(generator, 20, 60)
    query = features(values[:20], labels[0], labels[2])
    gallery = features(values[20:], labels[1], labels[3])
    expected = slow_rerank(squares(query, gallery), 20, **options)
    np.testing.assert_allclose(Reranking(**options).matrix(query, gallery), expected, atol=2e-6)


def test_more_copies_than_neighbors_leave_an_image_without_a_set():
    values = np.repeat(np.array([[0.0, 1], [1, 0], [3, 3]], np.float32), [12, 5, 4], axis=0)
    pids = np.arange(len(values))
    query = features(values[6:14], pids[6:14], pids[6:14])
    gallery = features(np.delete(values, range(6, 14), 0), pids[8:] * 0, pids[8:])
    options = {"k1": 3, "k2": 2}
    expected = slow_rerank(squares(query, gallery), 8, **options)
    matrix = Reranking(**options).matrix(query, gallery)
    np.testing.assert_allclose(matrix, expected, atol=2e-6)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    "options", [{}, {"k1": 9, "k2": 4, "weight": 0.2}, {"k1": 1000, "k2": 1}], ids=str
)
def test_scores_as_torchreid(metric, options):
    sizes = (60, 300) if options.get("k1", 20) < 300 else (12, 40)
    query, gallery = clustered(8, *sizes, identities=25)
    names = {"weight": "lambda_value"}
    theirs = peer(query, gallery, metric, **{names.get(k, k): v for k, v in options.items()})
    sides = (query.pids, gallery.pids, query.camids, gallery.camids)
    expected = evaluate_matrix(theirs, *sides)
    distance = build_distance(metric)
    result = evaluate(query, gallery, distance=distance, rerank=Reranking(**options))
    assert result.mAP == pytest.approx(expected.mAP, abs=1e-6)
    assert result.mINP == pytest.approx(expected.mINP, abs=1e-6)
    np.testing.assert_allclose(result.cmc, expected.cmc, atol=1e-6)
    np.testing.assert_allclose(
        Reranking(**options).matrix(query, gallery, distance), theirs, atol=2e-6
    )


def test_it_helps_where_identities_are_clusters():
    query, gallery = clustered(2, 60, 300, signal=0.9)
    assert evaluate(query, gallery, rerank=Reranking()).mAP > evaluate(query, gallery).mAP + 0.02


@pytest.mark.parametrize("backend", ["torch", "faiss"])
def test_pieces_of_all_sizes_give_the_same_numbers(monkeypatch, backend):
    if backend == "faiss":
        pytest.importorskip("faiss")
    query, gallery = clustered(3, 37, 150)
    whole = Reranking().matrix(query, gallery)
    monkeypatch.setattr(rerank, "_OVERLAPS", 97)
    monkeypatch.setattr(rerank, "_MARKS", 11 * 187)
    monkeypatch.setattr(neighbors, "_PRODUCTS", 13 * 187)
    assert torch.equal(Reranking(backend=backend).matrix(query, gallery), whole)


def test_a_block_is_the_callers_and_may_be_asked_for_again():
    query, gallery = clustered(4, 30, 101)
    whole = Reranking().matrix(query, gallery).numpy()
    block = Reranking().blocks(query, gallery)
    for rows in (slice(0, 7), slice(7, 30), slice(0, 7)):
        for columns in (slice(0, 50), slice(50, 101), slice(13, 14)):
            held = block(rows, columns)
            np.testing.assert_allclose(held, whole[rows, columns], atol=1e-6)
            held[:] = np.inf


@pytest.mark.parametrize("protocol", ["market1501", "cuhk03"])
@pytest.mark.parametrize("block", [17, 40, 1000])
def test_the_one_ranking_code_takes_the_blocks(block, protocol):
    query, gallery = clustered(5, 40, 120, signal=0.6)
    sides = (query.pids, gallery.pids, query.camids, gallery.camids)
    matrix = Reranking().matrix(query, gallery)
    expected = evaluate_matrix(matrix, *sides, protocol=protocol)
    result = evaluate(query, gallery, rerank=Reranking(), block=block, protocol=protocol)
    assert result.mAP == pytest.approx(expected.mAP, abs=1e-6)
    np.testing.assert_allclose(result.cmc, expected.cmc, atol=1e-3)
    assert 0.1 < result.mAP < 0.9


def test_no_square_matrix_is_held():
    query, gallery = clustered(6, 500, 2500, identities=300, length=8, signal=4)
    block = {}
    tracemalloc.start()
    try:
        block = Reranking(k1=5, k2=2).blocks(query, gallery)
        block(slice(0, 20), slice(0, 2500))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3000 * 3000  # bytes: a quarter of a float32 matrix


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 0}, "k1 is a whole number of neighbors, 1 or more; got 0"),
        ({"k1": 2.5}, r"got 2\.5"),
        ({"k2": -1}, "k2 is a whole number"),
        ({"k2": True}, "got True"),
        ({"weight": 1.5}, r"in \[0, 1\]; got 1\.5"),
        ({"weight": float("nan")}, "got nan"),
        ({"backend": "foo"}, "unknown neighbor search 'foo'"),
    ],
)
def test_faulty_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Reranking(**options)


def test_labels_are_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(Reranking, "blocks", None)
    query, gallery = clustered(7, 5, 9)
    other = features(gallery.values, gallery.pids + 100, gallery.camids)
    with pytest.raises(DataError, match="none shared"):
        evaluate(query, other, rerank=Reranking())


def test_faulty_features_are_named():
    query, gallery = clustered(7, 5, 9)
    short = features(gallery.values[:, :3], gallery.pids, gallery.camids)
    with pytest.raises(DataError, match="24 numbers and gallery features 3"):
        Reranking().blocks(query, short)
    with pytest.raises(DataError, match="9 of 9 features have a length of"):
        features(gallery.values * 1e25, gallery.pids, gallery.camids)
    same = [features(side.values * 0 + 0.3, side.pids, side.camids) for side in (query, gallery)]
    with pytest.raises(DataError, match="all features are the same"):
        Reranking().blocks(*same)
