from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_adv.benchmarks import published
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.auto_augment import Augmentation
from torchreid_adv.transforms.boxes import Box
from torchreid_adv.transforms.channels import GRAY, Channels
from torchreid_adv.transforms.homogeneous import Patch

HEIGHT, WIDTH = 256, 128


def draws(name: str, count: int, **options) -> list[Patch | None]:
    transform, generator = TRANSFORMS.build(name, **options), torch.Generator().manual_seed(0)
    return [transform.draw(HEIGHT, WIDTH, generator) for _ in range(count)]


def kind(look) -> str:
    if isinstance(look, Augmentation):
        return "augment"
    if look == GRAY:
        return "gray"
    return "sketch_fusion" if "sketch" in look else "gray_fusion"


def shares(drawn: list[Patch | None]) -> dict[str, float]:
    def name(patch):
        if patch is None:
            return "nothing"
        return kind(patch.look) if patch.box == (0, 0, HEIGHT, WIDTH) else "lht"

    return {n: c / len(drawn) for n, c in Counter(map(name, drawn)).items()}


def test_diversity_has_the_papers_probabilities():
    expected = {
        "gray": 0.05,
        "gray_fusion": 0.01,
        "sketch_fusion": 0.01,
        "augment": 0.05,
        "lht": 0.1,
        "nothing": 0.78,
    }
    assert shares(draws("diversity", 30_000)) == pytest.approx(expected, abs=0.006)
    expected["nothing"] += expected.pop("lht")
    assert shares(draws("diversity_global", 30_000)) == pytest.approx(expected, abs=0.006)


def test_lht_has_the_published_shares_of_looks():
    drawn = draws("lht", 10_000, p=1.0, mode="code")
    found = Counter(kind(p.look) for p in drawn if p is not None)
    expected = {"gray": 0.2, "gray_fusion": 0.2, "sketch_fusion": 0.18, "augment": 0.4}
    expected["gray_fusion"] += 0.02  # a tenth of the fusions with sketch has none
    assert {n: c / len(drawn) for n, c in found.items()} == pytest.approx(expected, abs=0.02)
    changed = [patch is not None for patch in draws("lht", 10_000)]
    assert np.mean(changed) == pytest.approx(0.1, abs=0.012)


def ends(drawn: list[Patch | None]) -> tuple[float, float]:
    """Mean share of the image, and how many boxes end where the image does, below or right."""
    boxes = np.array([patch.box for patch in drawn if patch is not None])
    top, left, height, width = boxes.T
    cut = (top + height == HEIGHT) | (left + width == WIDTH)
    return (height * width).mean() / (HEIGHT * WIDTH), cut.mean()


def test_lht_boxes_are_as_described_and_as_published_in_legacy():
    area, cut = ends(draws("lht", 8000, p=1.0))
    assert area == pytest.approx(0.204, abs=0.006)
    assert cut < 0.06  # none is cut; some just reach the edge
    area, cut = ends(draws("lht", 8000, p=1.0, legacy=True))
    assert area == pytest.approx(0.153, abs=0.006)
    assert 0.29 < cut < 0.36


def test_legacy_boxes_cover_what_the_published_code_covers():
    black, white = Image.new("RGB", (WIDTH, HEIGHT)), np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    published.seed(0)
    pasted = (published.pasted(black, white) for _ in range(2000))
    theirs = sum((np.asarray(image)[..., 0] > 0) / 2000 for image in pasted)
    ours = np.zeros((HEIGHT, WIDTH))
    for patch in draws("lht", 8000, p=1.0, legacy=True):
        top, left, height, width = patch.box
        ours[top : top + height, left : left + width] += 1 / 8000
    assert np.abs(ours - theirs).mean() < 0.02
    assert np.abs(ours - theirs).max() < 0.06


@pytest.mark.parametrize(
    "look",
    [
        GRAY,
        Channels("sketch", "red", "sketch"),
        Channels("blue", "gray", "red"),
        Augmentation(2, (True, True), (1, 1)),
        Augmentation(18, (True, True), (-1, 1)),
    ],
)
def test_a_patch_is_the_boxs_part_of_the_whole_images_look(image, look):
    box, whole = Box(9, 5, 31, 17), Box(0, 0, 64, 32)
    before = image.tobytes()
    result = np.array(TRANSFORMS.build("lht").apply(image, Patch(box, look)))
    other = np.asarray(look.of(image, whole))
    inside = np.zeros((64, 32), bool)
    inside[9:40, 5:22] = True
    assert np.array_equal(result[inside], other[inside])
    assert np.array_equal(result[~inside], np.asarray(image)[~inside])
    assert image.tobytes() == before


def test_looks_of_lht_can_be_chosen():
    options = {"gray": 0.0, "gray_fusion": 0.5, "sketch_fusion": 0.0, "augment": 0.0}
    drawn = draws("lht", 2000, p=1.0, mode="one_modality", **options)
    found = Counter("nothing" if p is None else kind(p.look) for p in drawn)
    assert set(found) == {"nothing", "gray_fusion"}
    assert found["nothing"] / len(drawn) == pytest.approx(0.5, abs=0.05)


def test_legacy_reaches_the_looks_and_the_boxes_of_diversity():
    options = {"gray": 0.0, "gray_fusion": 0.0, "sketch_fusion": 0.0}
    drawn = draws("diversity", 3000, augment=0.5, lht=0.5, legacy=True, **options)
    looks = [p.look for p in drawn if isinstance(p.look, Augmentation)]
    assert looks
    assert all(look.legacy for look in looks)
    local = [p for p in drawn if p.box != (0, 0, HEIGHT, WIDTH)]
    assert ends(local)[0] == pytest.approx(0.153, abs=0.01)
    drawn = draws("diversity", 300, augment=0.5, lht=0.5, **options)
    assert not any(p.look.legacy for p in drawn if isinstance(p.look, Augmentation))
