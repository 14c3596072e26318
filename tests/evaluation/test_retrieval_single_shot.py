import numpy as np
import pytest
from retrieval_reference import features, random_labels

from torchreid_adv.evaluation import evaluate, evaluate_matrix
from torchreid_adv.evaluation.galleries import REPEATS, draw_galleries
from torchreid_adv.evaluation.labels import Labels


def cuhk(seed=0, queries=20, gallery=50):
    generator = np.random.default_rng(seed)
    labels = random_labels(generator, queries, gallery, identities=8)
    return generator.permutation(queries * gallery).reshape(queries, gallery) * 1.0, labels


def test_the_curve_equals_a_slow_loop_with_the_same_draws():
    distances, labels = cuhk()
    result = evaluate_matrix(distances, *labels, protocol="cuhk03", seed=7)
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    pids, counts = np.unique(gallery_pids, return_counts=True)
    hits, queries = np.zeros(50), 0
    for q, pid in enumerate(query_pids):
        mine = gallery_pids == pid
        positives = np.flatnonzero(mine & (gallery_camids != query_camids[q]))
        if not len(positives):
            continue
        queries += 1
        by_pid = Labels(*labels).by_pid
        identity = pids.tolist().index(pid)
        shots, _ = draw_galleries(
            np.random.default_rng((7, q)), by_pid, counts, identity, positives
        )
        for gallery in shots.tolist():
            assert gallery_pids[gallery].tolist() == pids.tolist()
            ranked = sorted(gallery, key=lambda g, q=q: (distances[q, g], g))
            first = [gallery_pids[g] for g in ranked].index(pid)
            assert ranked[first] in positives
            hits[first:] += 1
    np.testing.assert_allclose(result.cmc, hits / (queries * REPEATS), atol=1e-12)


def test_the_curve_comes_near_its_expectation():
    # rank 1: the drawn positive (uniform) is nearer than the draw of every other identity
    distances, labels = cuhk(seed=3, queries=60)
    curves = [
        evaluate_matrix(distances, *labels, protocol="cuhk03", seed=s).rank(1) for s in range(40)
    ]
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    chances = []
    for q, pid in enumerate(query_pids):
        positives = (gallery_pids == pid) & (gallery_camids != query_camids[q])
        others = [p for p in np.unique(gallery_pids) if p != pid]
        if positives.any():
            wins = [
                np.prod([np.mean(distances[q, gallery_pids == p] > own) for p in others])
                for own in distances[q, positives]
            ]
            chances.append(np.mean(wins))
    assert np.mean(curves) == pytest.approx(np.mean(chances), abs=0.01)


def test_average_precision_stays_on_the_full_gallery():
    distances, labels = cuhk(seed=1)
    single = evaluate_matrix(distances, *labels, protocol="cuhk03")
    full = evaluate_matrix(distances, *labels)
    assert single.mAP == full.mAP
    assert single.mINP == full.mINP
    assert single.rank(1) >= full.rank(1)


def test_draws_depend_on_the_seed_and_not_on_the_global_state():
    distances, labels = cuhk(seed=2)
    curves = []
    for state, seed in ((0, 0), (1, 0), (1, 5)):
        np.random.seed(state)
        curves.append(
            evaluate_matrix(distances, *labels, protocol="cuhk03", seed=seed).cmc.tolist()
        )
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


def test_ties_go_to_the_first_of_the_gallery_and_features_are_taken():
    side = features(np.ones((2, 4), np.float32), (1, 2), (0, 0))
    result = evaluate(
        side, features(np.ones((2, 4), np.float32), (1, 2), (1, 1)), protocol="cuhk03"
    )
    assert result.cmc[:2].tolist() == [0.5, 1.0]
