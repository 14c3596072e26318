import numpy as np
import pytest
from retrieval_reference import features, order_of, random_labels

from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import ranking, topk


def sides(seed=0, queries=25, gallery=60):
    """Draw features of small integers: exact distances, many ties."""
    generator = np.random.default_rng(seed)
    labels = random_labels(generator, queries, gallery)
    values = [generator.integers(-2, 3, (n, 3)).astype(np.float32) for n in (queries, gallery)]
    distances = ((values[0][:, None] - values[1]) ** 2).sum(2)
    return [features(v, labels[i], labels[i + 2]) for i, v in enumerate(values)], distances, labels


@pytest.mark.parametrize("k", [1, 4, 55, 60, 80])
@pytest.mark.parametrize("block", [1, 13, 60, 100])
def test_lists_equal_a_stable_sort_without_junk(k, block, monkeypatch):
    monkeypatch.setattr(ranking, "_MOST_ROWS", 7)
    (query, gallery), distances, labels = sides()
    lists = topk(query, gallery, k, block=block)
    assert lists.shape == (25, k)
    for row, found in enumerate(lists.tolist()):
        order = order_of(distances[row], labels[0][row], labels[2][row], labels[1], labels[3])
        assert found == (order + [-1] * k)[:k]


def test_a_list_holds_one_image_or_more():
    (query, gallery), _, _ = sides()
    with pytest.raises(ConfigError, match="got k = 0"):
        topk(query, gallery, 0)
