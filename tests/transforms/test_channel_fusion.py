from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch

from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.boxes import Box
from torchreid_adv.transforms.channels import Channels, Fusion, sketched

VISIBLE = ("red", "green", "blue")
BOTH = ("gray", "sketch")


def draws(fusion: Fusion, modality: str, count: int) -> list[Channels]:
    generator = torch.Generator().manual_seed(0)
    return [fusion.draw(modality, generator) for _ in range(count)]


def shares(drawn: list[Channels], modality: str) -> dict[int, float]:
    counts = Counter(channels.count(modality) for channels in drawn)
    return {count: number / len(drawn) for count, number in counts.items()}


@pytest.mark.parametrize("modality", BOTH)
def test_code_mode_takes_three_of_five_shuffled(modality):
    drawn = draws(Fusion(mode="code"), modality, 20_000)
    triples = list(permutations((*VISIBLE, modality, modality), 3))
    assert len(triples) == 60
    assert set(drawn) == set(triples)
    assert len(set(drawn)) == 33
    assert shares(drawn, modality) == pytest.approx({0: 0.1, 1: 0.6, 2: 0.3}, abs=0.015)
    assert drawn.count(Channels(*VISIBLE)) / len(drawn) == pytest.approx(1 / 60, abs=0.004)
    kept = sum(all(n in (modality, VISIBLE[i]) for i, n in enumerate(c)) for c in drawn)
    assert kept / len(drawn) == pytest.approx(13 / 60, abs=0.013)


def test_the_paper_combines_five_channels_in_random_order():
    """5 * 4 * 3 triples, each as likely, whichever modality the draw is called by."""
    triples = set(permutations((*VISIBLE, *BOTH), 3))
    assert len(triples) == 60
    for modality in BOTH:
        drawn = draws(Fusion(), modality, 30_000)
        counts = Counter(drawn)
        assert set(counts) == triples
        shares = [count / len(drawn) for count in counts.values()]
        assert max(abs(share - 1 / 60) for share in shares) < 0.004
    assert draws(Fusion(), "gray", 50) == draws(Fusion(), "sketch", 50)


def test_visible_channels_may_stay_in_place():
    drawn = draws(Fusion(keep_order=True), "gray", 3_000)
    assert Channels("red", "gray", "sketch") in drawn
    assert Channels("gray", "green", "sketch") in drawn
    assert all(n in (*BOTH, VISIBLE[i]) for channels in drawn for i, n in enumerate(channels))
    assert len(set(drawn)) == 13  # 1 of all three, 3 * 2 of two, 3 * 2 of one


def test_one_modality_and_the_code_have_sixty_variants_of_gray_and_sketch_together():
    code = {channels for m in BOTH for channels in draws(Fusion(mode="code"), m, 20_000)}
    single = Fusion(mode="one_modality")
    replaced = {channels for m in BOTH for channels in draws(single, m, 20_000)}
    untouched = set(permutations(VISIBLE))
    assert len(code) == 60
    assert code == replaced | untouched
    assert not replaced & untouched


@pytest.mark.parametrize("modality", BOTH)
@pytest.mark.parametrize("keep_order", [False, True])
def test_one_modality_replaces_one_or_two_channels(modality, keep_order):
    drawn = draws(Fusion(mode="one_modality", keep_order=keep_order), modality, 20_000)
    assert shares(drawn, modality) == pytest.approx({1: 0.5, 2: 0.5}, abs=0.015)
    for channels in drawn:
        visible = [name for name in channels if name != modality]
        assert len(set(visible)) == len(visible)
        if keep_order:
            assert all(n in (modality, VISIBLE[i]) for i, n in enumerate(channels))
    assert len(set(drawn)) == (6 if keep_order else 27)
    by_name = Counter(name for channels in drawn for name in channels if name != modality)
    assert [by_name[name] / len(drawn) for name in VISIBLE] == pytest.approx([0.5] * 3, abs=0.02)


def test_channels_are_those_of_the_images(image):
    pixels = np.asarray(image)
    gray = np.asarray(image.convert("L"))
    planes = {**{n: pixels[..., i] for i, n in enumerate(VISIBLE)}, "gray": gray}
    planes["sketch"] = sketched(gray)
    box = Box(7, 3, 30, 20)
    for names in [("blue", "gray", "red"), ("sketch", "sketch", "green"), VISIBLE]:
        fused = np.asarray(Channels(*names).of(image, box))
        for place, name in enumerate(names):
            assert np.array_equal(fused[..., place], planes[name][7:37, 3:23])


def test_the_share_of_sketch_and_the_probability_are_kept():
    fusion = TRANSFORMS.build("channel_fusion", p=0.4, sketch=0.25, mode="one_modality")
    generator = torch.Generator().manual_seed(0)
    drawn = [fusion.draw(64, 32, generator) for _ in range(10_000)]
    looks = [patch.look for patch in drawn if patch is not None]
    assert len(looks) / len(drawn) == pytest.approx(0.4, abs=0.02)
    assert sum("sketch" in c for c in looks) / len(looks) == pytest.approx(0.25, abs=0.03)


def test_a_share_of_sketch_is_refused_where_gray_and_sketch_are_mixed():
    with pytest.raises(ConfigError, match="so sketch has no share"):
        TRANSFORMS.build("channel_fusion", sketch=0.5)
    assert TRANSFORMS.build("channel_fusion").p == 0.02


@pytest.mark.parametrize("mode", ["paper", "one_modality"])
def test_color_has_the_papers_probabilities(mode):
    color, generator = TRANSFORMS.build("color", mode=mode), torch.Generator().manual_seed(0)
    drawn = [color.draw(64, 32, generator) for _ in range(40_000)]
    names = Counter(kind(patch) for patch in drawn)
    found = [names[n] / len(drawn) for n in ("gray", "fused", "nothing")]
    assert found == pytest.approx([0.05, 0.02, 0.93], abs=0.005)
    fused = [patch.look for patch in drawn if kind(patch) == "fused"]
    both = sum({"gray", "sketch"} <= set(look) for look in fused) / len(fused)
    assert both == pytest.approx(0.3 if mode == "paper" else 0, abs=0.05)


def kind(patch) -> str:
    if patch is None:
        return "nothing"
    return "gray" if set(patch.look) == {"gray"} else "fused"
