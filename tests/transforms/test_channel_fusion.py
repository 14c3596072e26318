from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch

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


def test_there_are_sixty_variants_of_gray_and_sketch_together():
    code = {channels for m in BOTH for channels in draws(Fusion(mode="code"), m, 20_000)}
    paper = {channels for m in BOTH for channels in draws(Fusion(), m, 20_000)}
    untouched = set(permutations(VISIBLE))
    assert len(code) == 60
    assert code == paper | untouched
    assert not paper & untouched


@pytest.mark.parametrize("modality", BOTH)
@pytest.mark.parametrize("keep_order", [False, True])
def test_paper_mode_replaces_one_or_two_channels(modality, keep_order):
    drawn = draws(Fusion(mode="paper", keep_order=keep_order), modality, 20_000)
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
    fusion = TRANSFORMS.build("channel_fusion", p=0.4, sketch=0.25)
    generator = torch.Generator().manual_seed(0)
    drawn = [fusion.draw(64, 32, generator) for _ in range(10_000)]
    looks = [patch.look for patch in drawn if patch is not None]
    assert len(looks) / len(drawn) == pytest.approx(0.4, abs=0.02)
    assert sum("sketch" in c for c in looks) / len(looks) == pytest.approx(0.25, abs=0.03)


def test_color_has_the_papers_probabilities():
    color, generator = TRANSFORMS.build("color"), torch.Generator().manual_seed(0)
    drawn = [color.draw(64, 32, generator) for _ in range(40_000)]
    names = Counter(kind(patch) for patch in drawn)
    found = [names[n] / len(drawn) for n in ("gray", "gray_fusion", "sketch_fusion", "nothing")]
    assert found == pytest.approx([0.05, 0.01, 0.01, 0.93], abs=0.005)


def kind(patch) -> str:
    if patch is None:
        return "nothing"
    if set(patch.look) == {"gray"}:
        return "gray"
    return "sketch_fusion" if "sketch" in patch.look else "gray_fusion"
