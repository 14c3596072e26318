"""Clean numbers are those of the source: its network, its extractor, its own evaluation.

Runs with the package or the checkout of the source alone, like the table of the formats.
"""

import collections.abc
import contextlib
import importlib
from unittest import mock

import numpy as np
import pytest
import torch
from format_cases import Importing, checkout, drawn
from format_families import BY_NAME
from markets import write_market
from PIL import Image

import torchreid_adv as adv

RANKS = (1, 5, 10)
# family -> where its evaluation is: a checkout, a module in it, and the function or class
EVALUATIONS = {
    "fastreid": ("", "fastreid.evaluation.rank", "evaluate_rank"),
    "bagtricks": ("michuanhaohao+reid-strong-baseline", "data.datasets.eval_reid", "eval_func"),
    "transreid_ssl": ("damo-cv+TransReID-SSL/transreid_pytorch", "utils.metrics", "R1_mAP_eval"),
    "passreid": ("CASIA-IVA-Lab+PASS-reID/PASS_transreid", "utils.metrics", "R1_mAP_eval"),
}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """People in heavy noise, whom no network finds at once."""
    root = write_market(tmp_path_factory.mktemp("market"), images=1, sizes=((64, 32), (128, 64)))
    draws = np.random.default_rng(0)
    for path in sorted(root.rglob("*.jpg")):
        pixels = np.asarray(Image.open(path), dtype=float)
        noise = draws.integers(0, 256, pixels.shape)
        Image.fromarray((0.3 * pixels + 0.7 * noise).astype(np.uint8)).save(path, quality=95)
    return adv.load_dataset("market1501", root=str(root))


@contextlib.contextmanager
def older_names():
    """Inside the block there are names that packages had when the sources were written."""
    with (
        mock.patch.dict("sys.modules", {"faiss": mock.MagicMock()}),
        mock.patch.object(collections, "Mapping", collections.abc.Mapping, create=True),
    ):
        yield


def evaluation_of(family):
    """Return a source's evaluation: features, identities, cameras, queries -> mAP, CMC, mINP."""
    place, module, name = EVALUATIONS[family]
    if not place:
        pytest.importorskip(module.partition(".")[0])
    with older_names(), Importing(checkout(place)) if place else contextlib.nullcontext():
        evaluate = getattr(importlib.import_module(module), name)
    return by_class(evaluate) if name.startswith("R1") else by_function(evaluate)


def by_class(evaluator):
    def evaluate(features, pids, camids, queries):
        whole = evaluator(queries, feat_norm=True)
        whole.reset()
        whole.update((features, pids, camids))
        cmc, mean = whole.compute()[:2]
        return mean, cmc, None

    return evaluate


def by_function(function):
    def evaluate(features, pids, camids, queries):
        unit = torch.nn.functional.normalize(features, dim=1)
        matrix = (1 - unit[:queries] @ unit[queries:].T).numpy()
        labels = [part for row in (pids, camids) for part in (row[:queries], row[queries:])]
        cmc, precision, *penalty = function(matrix, *labels)
        return np.mean(precision), cmc, np.mean(penalty[0]) if penalty else None

    return evaluate


@pytest.mark.slow
@pytest.mark.parametrize("family", EVALUATIONS)
def test_clean_numbers_are_those_of_the_sources_own_evaluation(family, market, tmp_path):
    evaluate = evaluation_of(family)
    case = BY_NAME[family]
    _, extract = case.source()
    records = [*market.query, *market.gallery]
    pictures = [Image.open(record.path).convert("RGB") for record in records]
    features = torch.cat([extract([picture]) for picture in pictures]).double()
    labels = (np.array([getattr(r, name) for r in records]) for name in ("pid", "camid"))
    mean, cmc, penalty = evaluate(features, *labels, len(market.query))

    entry = case.write(drawn(case.shapes()) | case.kept(), tmp_path)
    ours = adv.evaluate(adv.load_model(entry, device="cpu"), market)
    assert ours.queries == len(market.query)
    assert 0 < mean < 1
    assert ours.mAP == pytest.approx(mean, abs=1e-6)
    assert [ours.rank(k) for k in RANKS] == pytest.approx([cmc[k - 1] for k in RANKS], abs=1e-6)
    if penalty is not None:
        assert ours.mINP == pytest.approx(penalty, abs=1e-6)
