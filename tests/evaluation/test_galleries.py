"""Protocols of drawn galleries, against a slow loop and by hand."""

import random

import numpy as np
import pytest
import torch

from torchreid_adv.errors import DataError
from torchreid_adv.evaluation import evaluate, evaluate_matrix
from torchreid_adv.evaluation.galleries import GalleryRules, drawn_gallery
from torchreid_adv.models import Features
from torchreid_adv.registry import PROTOCOLS


def features(rows, seed, cameras, people=5):
    """Rows by identity, then camera."""
    generator = torch.Generator().manual_seed(seed)
    labels = sorted((n % people, cameras[n // people % len(cameras)]) for n in range(rows))
    pids, camids = torch.tensor(labels).T
    values = torch.randn(rows, 4, generator=generator) + pids[:, None] * 0.4
    return Features(values, pids, camids, tuple(map(str, range(rows))))


def slow(query, gallery, protocol):
    """mAP and match curve as the released code of SYSU-MM01's protocol words them."""
    precisions, curves = [], []
    for trial in range(protocol.galleries):
        generator, columns = random.Random(trial), []
        keys = [(int(p), int(c)) for p, c in zip(gallery.pids, gallery.camids, strict=True)]
        for key in dict.fromkeys(keys):
            own = [n for n, other in enumerate(keys) if other == key]
            columns += [generator.choice(own)] if protocol.shots else own
        for q in range(len(query)):
            pid, camid = int(query.pids[q]), int(query.camids[q])
            ranking = []
            for n in sorted(
                columns, key=lambda n: float((query.values[q] - gallery.values[n]).norm())
            ):
                if (camid, keys[n][1]) in protocol.same_place:
                    continue
                if protocol.same_camera and keys[n] == (pid, camid):
                    continue
                ranking.append(keys[n][0])
            hits = [place for place, other in enumerate(ranking) if other == pid]
            if not hits:
                continue
            precisions.append(np.mean([(i + 1) / (place + 1) for i, place in enumerate(hits)]))
            people = list(dict.fromkeys(ranking)) if protocol.per_identity else ranking
            curves.append([pid in people[: k + 1] for k in range(20)])
    return np.mean(precisions), np.mean(curves, axis=0)


@pytest.mark.parametrize("name", ["sysu_mm01", "regdb", "llcm"])
def test_a_protocol_is_what_a_slow_loop_does(name):
    protocol = PROTOCOLS.build(name)
    query, gallery = features(20, 0, [2, 5]), features(60, 1, [0, 1, 2, 3])
    result = evaluate(query, gallery, protocol=name)
    mAP, curve = slow(query, gallery, protocol)
    assert result.mAP == pytest.approx(mAP)
    assert result.cmc[:20] == pytest.approx(curve)
    assert len(result.valid) == 20 * protocol.galleries


@pytest.mark.parametrize("name", ["sysu_mm01", "regdb", "llcm"])
def test_draws_depend_on_the_order_of_one_camera_s_images_of_one_identity_only(name):
    query, gallery = features(20, 0, [2, 5]), features(60, 1, [0, 1, 2, 3])
    order = torch.argsort(gallery.camids * 100 + gallery.pids, stable=True)  # cameras first
    names = tuple(gallery.image_ids[row] for row in order.tolist())
    other = Features(gallery.values[order], gallery.pids[order], gallery.camids[order], names)
    one, two = (evaluate(query, side, protocol=name) for side in (gallery, other))
    assert one.mAP == pytest.approx(two.mAP, abs=1e-12)
    assert np.allclose(one.cmc, two.cmc)


@pytest.fixture
def usual(monkeypatch):
    """A protocol by the name of "usual", with Market-1501's rules, whose gallery is ranked whole.

    Galleries are drawn twice, so that it goes the way of drawn ones.
    """
    PROTOCOLS.register("usual")(lambda: GalleryRules(galleries=2))
    yield "usual"
    PROTOCOLS.remove("usual")


def test_without_draws_and_rules_it_is_the_usual_evaluation(usual):
    query, gallery = features(20, 0, [2, 5]), features(60, 1, [0, 1, 2, 3])
    ours = evaluate(query, gallery, protocol=usual)
    sides = (query.pids, gallery.pids, query.camids, gallery.camids)
    market = evaluate_matrix(torch.cdist(query.values, gallery.values), *sides)
    assert ours.mAP == pytest.approx(market.mAP)
    assert ours.cmc == pytest.approx(market.cmc)
    assert ours.galleries == 2


@pytest.mark.parametrize("name", ["sysu_mm01", "regdb", "llcm", "cuhk03", "market1501"])
def test_scores_of_queries_average_to_those_of_the_whole(name):
    query, gallery = features(20, 0, [2, 5]), features(60, 1, [0, 1, 2, 3])
    result = evaluate(query, gallery, protocol=name)
    precision, hits = result.of_queries()
    assert precision.shape == (20,)
    assert np.nanmean(precision) == pytest.approx(result.mAP)
    assert np.nanmean(hits, axis=0) == pytest.approx([result.rank(k) for k in (1, 5, 10, 20)])


def test_a_gallery_has_one_image_of_each_identity_and_camera():
    gallery = features(60, 1, [0, 1, 2, 3])
    protocol = PROTOCOLS.build("sysu_mm01")
    keys = set(zip(gallery.pids.tolist(), gallery.camids.tolist(), strict=True))
    drawn = [
        drawn_gallery(gallery.pids.numpy(), gallery.camids.numpy(), protocol, seed=seed)
        for seed in range(10)
    ]
    for columns in drawn:
        pairs = list(
            zip(gallery.pids[columns].tolist(), gallery.camids[columns].tolist(), strict=True)
        )
        assert set(pairs) == keys
        assert len(pairs) == len(keys)
    assert len({columns.tobytes() for columns in drawn}) > 5


def test_the_room_of_cameras_two_and_three_does_not_count():
    """By hand: camera 3's query meets its own room only in camera 2, which is left out."""
    query = Features(torch.zeros(1, 1), torch.tensor([1]), torch.tensor([2]), ("q",))
    values, pids, camids = torch.tensor([[0.1], [0.2], [0.3]]), [1, 2, 1], [1, 0, 3]
    gallery = Features(values, torch.tensor(pids), torch.tensor(camids), ("a", "b", "c"))
    result = evaluate(query, gallery, protocol="sysu_mm01")
    assert result.mAP == pytest.approx(1 / 2)
    assert result.rank(1) == 0
    assert result.rank(2) == 1


def test_a_gallery_without_the_queries_identities_is_refused():
    query, gallery = features(20, 0, [2]), features(60, 1, [0])
    gallery = Features(gallery.values, gallery.pids + 50, gallery.camids, gallery.image_ids)
    with pytest.raises(DataError, match="query identities do not appear in the gallery"):
        evaluate(query, gallery, protocol="sysu_mm01")


def worn(clothes, pids, camids, places):
    values = torch.tensor(places)[:, None]
    names = tuple(map(str, range(len(pids))))
    return Features(values, torch.tensor(pids), torch.tensor(camids), names, clothes)


def test_what_is_worn_decides_which_matches_count():
    """By hand: nearest first are the query's coat, a stranger, the query's shirt, its camera."""
    query = worn(("coat",), [1], [0], [0.0])
    clothes = ("coat", "coat", "shirt", "shirt")
    gallery = worn(clothes, [1, 2, 1, 1], [1, 1, 2, 0], [0.1, 0.2, 0.3, 0.4])
    found = {
        name: evaluate(query, gallery, protocol=name).mAP
        for name in ("market1501", "clothes_changed", "clothes_same", "no_cameras")
    }
    assert found == pytest.approx(
        {
            "market1501": (1 + 2 / 3) / 2,  # ranks 1 and 3
            "clothes_changed": 1 / 2,  # the shirt alone, behind the stranger
            "clothes_same": 1,  # the coat alone
            "no_cameras": (1 + 2 / 3 + 3 / 4) / 3,
        }
    )


@pytest.mark.parametrize("name", ["clothes_changed", "clothes_same"])
def test_clothes_that_are_not_known_are_asked_for(name):
    query, gallery = worn(("coat",), [1], [0], [0.0]), worn(None, [1, 2], [1, 1], [0.1, 0.2])
    with pytest.raises(DataError, match="known of 0 of 2 gallery images; give each image its"):
        evaluate(query, gallery, protocol=name)
    gallery = worn(("coat", ""), [1, 2], [1, 1], [0.1, 0.2])
    with pytest.raises(DataError, match="known of 1 of 2 gallery images"):
        evaluate(query, gallery, protocol=name)


def test_no_match_in_the_clothes_that_are_asked_for_is_named():
    query = worn(("coat",), [1], [0], [0.0])
    gallery = worn(("coat", "coat"), [1, 2], [1, 1], [0.1, 0.2])
    with pytest.raises(DataError, match="appears in the gallery in other clothes"):
        evaluate(query, gallery, protocol="clothes_changed")


def test_a_vehicle_s_drawn_image_is_no_query_of_its_gallery():
    """By hand: two vehicles of two images; in each draw one of each is the gallery."""
    values = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    side = Features(values, torch.tensor([1, 1, 2, 2]), torch.arange(4), tuple("abcd"))
    result = evaluate(side, side, protocol="vehicleid")
    assert result.queries == 20  # two queries in each of ten galleries
    assert result.mAP == 1


def test_facts_of_rules_from_before_are_what_they_were():
    facts = PROTOCOLS.build("sysu_mm01").facts()
    assert facts == {
        "galleries": 10, "shots": 1, "same_place": [[2, 1]], "same_camera": False,
        "per_identity": True,
    }  # fmt: skip
    assert PROTOCOLS.build("clothes_same").facts()["same_clothes"] == "required"
