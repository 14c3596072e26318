import itertools

import numpy as np
import pytest
import torch
from retrieval_reference import features, random_labels, slow_scores

from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import evaluate, evaluate_matrix, ranking
from torchreid_adv.evaluation.labels import Labels
from torchreid_adv.integration.layout import torchreid_module


def peer(distances, labels, max_rank=20):
    return torchreid_module("metrics").evaluate_rank(
        np.asarray(distances), *labels, max_rank=max_rank, use_cython=False
    )


def assert_equals_reference(result, distances, labels):
    reference = slow_scores(distances, *labels)
    assert result.valid.tolist() == [scores is not None for scores in reference]
    for row, scores in enumerate(reference):
        if scores is not None:
            rule = 0 if result.ap_rule == "standard" else 1
            assert result.average_precision[row] == pytest.approx(float(scores[rule]), abs=1e-15)
            assert result.first_match_rank[row] == scores[2]
            assert result.inverse_penalty[row] == pytest.approx(float(scores[3]), abs=1e-15)
    ranks = np.array([scores[2] for scores in reference if scores is not None])
    for k in (1, 5, 10, 20):
        assert result.rank(k) == np.mean(ranks < k)


def test_hand_worked_example():
    # the list of the query (pid 1, camera 0), junk (gallery 0) removed: 3 (-), 1 (+), 4 (-), 2 (+)
    distances = np.array([[0.1, 0.3, 0.7, 0.2, 0.5]])
    labels = ([1], [1, 1, 1, 2, 3], [0], [0, 1, 2, 0, 1])
    result = evaluate_matrix(distances, *labels)
    assert result.mAP == (1 / 2 + 2 / 4) / 2
    assert result.mINP == 2 / 4
    assert result.first_match_rank.tolist() == [1]
    assert result.cmc[:3].tolist() == [0, 1, 1]
    trapezoid = evaluate_matrix(distances, *labels, ap_rule="trapezoid")
    assert trapezoid.mAP == pytest.approx(
        ((0 / 1 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2, abs=1e-15
    )


@pytest.mark.parametrize("seed", range(25))
def test_equals_torchreid_without_ties(seed):
    generator = np.random.default_rng(seed)
    labels = random_labels(generator, 30, 90, identities=3 + seed, cameras=2 + seed % 4)
    distances = generator.permutation(30 * 90).reshape(30, 90).astype(np.float32)
    curve, mean = peer(distances, labels)
    result = evaluate_matrix(distances, *labels)
    assert result.mAP == pytest.approx(float(mean), abs=1e-15)
    assert result.cmc[:20].astype(np.float32).tolist() == curve.tolist()
    assert_equals_reference(result, distances, labels)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_features_score_as_torchreid_scores_them(metric):
    generator = torch.Generator().manual_seed(3)
    labels = random_labels(np.random.default_rng(3), 70, 200)
    values = [torch.randn(n, 48, generator=generator) for n in (70, 200)]
    matrix = torchreid_module("metrics").compute_distance_matrix(*values, metric)
    curve, mean = peer(matrix, labels)
    query, gallery = (features(v, labels[i], labels[i + 2]) for i, v in enumerate(values))
    result = evaluate(query, gallery, distance=build_distance(metric))
    assert result.mAP == pytest.approx(float(mean), abs=1e-15)
    assert result.cmc[:20].astype(np.float32).tolist() == curve.tolist()
    assert result.image_ids == query.image_ids


@pytest.mark.parametrize("ap_rule", ["standard", "trapezoid"])
@pytest.mark.parametrize("levels", [1, 2, 5, 40])
def test_ties_rank_in_gallery_order(levels, ap_rule):
    generator = np.random.default_rng(levels)
    labels = random_labels(generator, 25, 70)
    distances = generator.integers(-1, levels - 1, (25, 70)).astype(np.float32)
    result = evaluate_matrix(distances, *labels, ap_rule=ap_rule)
    assert_equals_reference(result, distances, labels)


@pytest.mark.parametrize("block", [1, 2, 7, 64, 69, 70, 1000])
def test_block_sizes_change_nothing_where_products_are_exact(block, monkeypatch):
    # small integers: squares and products are exact in float32; copied rows tie in any block
    monkeypatch.setattr(ranking, "_MOST_ROWS", 9)
    generator = np.random.default_rng(5)
    labels = random_labels(generator, 30, 70)
    values = [generator.integers(-2, 3, (n, 4)).astype(np.float32) for n in (30, 70)]
    values[1][40:60] = values[1][10:30]
    query, gallery = (features(v, labels[i], labels[i + 2]) for i, v in enumerate(values))
    squares = (values[0][:, None] - values[1]) ** 2
    assert_equals_reference(evaluate(query, gallery, block=block), squares.sum(2), labels)


def test_several_blocks_rank_as_the_matrix_of_the_same_products(monkeypatch):
    monkeypatch.setattr(ranking, "_MOST_ROWS", 16)
    generator = torch.Generator().manual_seed(0)
    labels = random_labels(np.random.default_rng(0), 50, 130)
    values = [torch.randn(n, 33, generator=generator) for n in (50, 130)]
    query, gallery = (features(v, labels[i], labels[i + 2]) for i, v in enumerate(values))
    rows, columns = ranking.plan(50, 130, 60)
    assert len(rows) > 1
    assert len(columns) > 1
    block = ranking.feature_blocks(query, gallery, build_distance("euclidean"))
    matrix = np.concatenate([np.concatenate([block(r, c) for c in columns], 1) for r in rows])
    whole, parts = evaluate_matrix(matrix, *labels), evaluate(query, gallery, block=60)
    for name in ("average_precision", "first_match_rank", "inverse_penalty", "cmc"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


@pytest.mark.parametrize("kept", [0, 10**9])
def test_a_positive_is_never_ranked_behind_itself(kept, monkeypatch):
    monkeypatch.setattr(ranking, "_KEPT", kept)
    # products that come out another time differently, by less than what is between two images
    generator = np.random.default_rng(6)
    distances = generator.permutation(20 * 60).reshape(20, 60).astype(np.float64)
    labels = Labels(*random_labels(generator, 20, 60))
    rows, columns = ranking.spans(20, 7), ranking.spans(60, 25)

    def shaky(queries, images):
        part = distances[queries, images]
        return part + generator.uniform(-0.4, 0.4, part.shape)

    def steady(queries, images):
        return distances[queries, images].copy()

    expected, starts = ranking.positive_ranks(steady, labels, rows, columns)
    ranks, _ = ranking.positive_ranks(shaky, labels, rows, columns)
    assert ranks.tolist() == expected.tolist()
    assert starts[-1] == len(ranks) > 0


@pytest.mark.parametrize("kept", [0, 20 * 25 * 8 * 2, 10**9])
@pytest.mark.parametrize("levels", [1, 3, 50, 4800])
def test_blocks_that_are_kept_and_blocks_that_are_made_again_rank_alike(kept, levels, monkeypatch):
    monkeypatch.setattr(ranking, "_KEPT", kept)
    generator = np.random.default_rng(8)
    labels = random_labels(generator, 40, 120)
    distances = generator.integers(0, levels, (40, 120)).astype(np.float64)
    asked = []

    def block(queries, images):
        asked.append((queries.start, images.start))
        return distances[queries, images].copy()

    rows, columns = ranking.spans(40, 20), ranking.spans(120, 25)
    ranks, starts = ranking.positive_ranks(block, Labels(*labels), rows, columns)
    blocks_kept = {0: 1, 10**9: 5}.get(kept, 2)  # the first one always is
    assert len(asked) == len(rows) * (2 * len(columns) - blocks_kept)
    expected = evaluate_matrix(distances, *labels)
    first = [min(ranks[a:b], default=-1) for a, b in itertools.pairwise(starts)]
    assert first == expected.first_match_rank.tolist()
    assert_equals_reference(expected, distances, labels)
    whole, _ = ranking.positive_ranks(block, Labels(*labels), [slice(0, 40)], [slice(0, 120)])
    assert ranks.tolist() == whole.tolist()


@pytest.mark.parametrize("place", [0, 1, 2499, 4999])
def test_one_positive_in_a_large_gallery(place):
    distances = np.arange(5000, dtype=np.float32)[None]
    gallery_pids = np.full(5000, 9)
    gallery_pids[place] = 1
    result = evaluate_matrix(distances, [1], gallery_pids, [0], np.ones(5000, int))
    assert result.mAP == result.mINP == 1 / (place + 1)
    assert result.rank(1) == (place == 0)


def test_a_gallery_smaller_than_the_curve_pads_it():
    result = evaluate_matrix(np.array([[2.0, 1.0, 3.0]]), [1], [1, 2, 3], [0], [1, 1, 1])
    assert result.cmc.tolist() == [0.0] + [1.0] * 49
    assert evaluate_matrix(np.ones((1, 1)), [1], [1], [0], [1], max_rank=3).rank(20) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_matrices_of_any_precision_are_taken_and_not_changed(dtype):
    generator = np.random.default_rng(1)
    labels = random_labels(generator, 12, 40)
    matrix = torch.as_tensor(generator.integers(0, 30, (12, 40))).to(dtype)
    before = matrix.clone()
    result = evaluate_matrix(matrix, *map(torch.as_tensor, labels))
    assert torch.equal(matrix, before)
    assert_equals_reference(result, before.tolist(), labels)


def test_half_precision_features_are_ranked_in_single_precision():
    labels = random_labels(np.random.default_rng(2), 20, 60)
    generator = torch.Generator().manual_seed(2)
    values = [torch.randn(n, 16, generator=generator).half() for n in (20, 60)]
    half = [features(v, labels[i], labels[i + 2]) for i, v in enumerate(values)]
    single = [features(v.float(), labels[i], labels[i + 2]) for i, v in enumerate(values)]
    assert evaluate(*half).to_dict() == evaluate(*single).to_dict()


def test_features_are_left_as_they_are():
    labels = random_labels(np.random.default_rng(4), 20, 60)
    sides = [features(torch.randn(n, 16), labels[i], labels[i + 2]) for i, n in enumerate((20, 60))]
    copies = [side.values.clone() for side in sides]
    evaluate(*sides, distance=build_distance("euclidean", normalize=True))
    assert all(torch.equal(side.values, copy) for side, copy in zip(sides, copies, strict=True))


def two_by_two(query_pids=(1, 2), gallery_pids=(1, 2), query_camids=(0, 0), gallery_camids=(1, 1)):
    return query_pids, gallery_pids, query_camids, gallery_camids


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (
            two_by_two(gallery_pids=(3, 4)),
            "do not appear in the gallery .2 queries of 2 ",
        ),
        (two_by_two(gallery_camids=(0, 0)), "have one camera .0."),
        (two_by_two(gallery_pids=(1, 3), gallery_camids=(0, 1)), "under another camera .*1 shared"),
        (two_by_two(query_pids=(1, 2, 3)), "one pid and one camid"),
        (two_by_two(query_pids=(1,), query_camids=(0,)), "1 queries and 2 gallery images"),
    ],
)
def test_labels_that_cannot_be_scored_are_refused(labels, words):
    with pytest.raises(DataError, match=words):
        evaluate_matrix(np.ones((2, 2)), *labels)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_distances_that_are_not_finite_are_refused(value):
    with pytest.raises(DataError, match="NaN or infinity"):
        evaluate_matrix(np.array([[1.0, value], [1.0, 2.0]]), *two_by_two())


def test_features_that_do_not_fit_are_refused():
    query = features(np.ones((2, 4), np.float32), (1, 2), (0, 0))
    with pytest.raises(DataError, match="4 numbers and gallery features 5"):
        evaluate(query, features(np.ones((2, 5), np.float32), (1, 2), (1, 1)))
    with pytest.raises(DataError, match=r"length of 2e\+30 .* distances in float32 need lengths"):
        features(np.full((2, 4), 1e30, np.float32), (1, 2), (1, 1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ap_rule": "trapezoidal"}, "unknown ap_rule 'trapezoidal'; did you mean 'trapezoid'"),
        ({"protocol": "market"}, "unknown protocol 'market'; did you mean 'market1501'"),
        ({"max_rank": 0}, "max_rank .* got 0"),
        ({"block": 0}, "block .* got 0"),
    ],
)
def test_unknown_rules_are_refused(options, words):
    side = features(np.ones((2, 4), np.float32), (1, 2), (0, 1))
    with pytest.raises(ConfigError, match=words):
        evaluate(side, side, **options)
