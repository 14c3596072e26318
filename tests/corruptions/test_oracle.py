"""Every kind against the published code, in an environment of its own; ``make corruptions``."""

import numpy as np
import pytest
import replays
from scipy import stats

from torchreid_adv.corruptions import SEVERITIES, corrupt, published_kinds
from torchreid_adv.data.virtual.colors import to_levels
from torchreid_adv.data.virtual.image import Shot, render_image
from torchreid_adv.data.virtual.styles import style_named

pytestmark = pytest.mark.skipif(
    not replays.PYTHON, reason="CORRUPTIONS_ORACLE names no Python with imagecorruptions"
)
SIZES = ((64, 32), (128, 64), (131, 57), (256, 128))
MOMENTS = 40  # images of the kinds whose draws differ


def people(size, count=5):
    style = style_named("virtual_a")
    shots = [Shot(number, number % 4, number, *size) for number in range(1, count + 1)]
    return [to_levels(render_image(style, 0, shot)) for shot in shots]


def test_a_limit_stands_for_every_kind():
    assert {*replays.LIMITS, *replays.BY_STATISTICS} == set(published_kinds())


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    images = [image for size in SIZES for image in people(size)]
    return replays.differences(images, list(replays.LIMITS), tmp_path_factory.mktemp("oracle"))


@pytest.mark.parametrize("kind", replays.LIMITS)
def test_a_kind_does_with_the_same_draws_what_the_published_code_does(kind, gaps):
    gaps = gaps[kind]
    most, share = replays.LIMITS[kind]
    print(
        f"\n{kind:<18} at most {gaps.max():3} levels, {100 * (gaps > 0).mean():6.3f} % differ, "
        f"{100 * (gaps > most).mean():.4f} % by more than {most}"
    )
    assert (gaps > most).mean() <= share


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulses_are_as_many_and_as_bright(severity, tmp_path):
    images = people((64, 32), MOMENTS)
    theirs = replays.published(images, ["impulse_noise"], tmp_path, severities=[severity])
    shares = {}
    for who, results in (
        ("ours", [corrupt(image, "impulse_noise", severity=severity) for image in images]),
        ("theirs", list(theirs.values())),
    ):
        changed = [r != image for r, image in zip(results, images, strict=True)]
        white = [(r == 255) & c for r, c in zip(results, changed, strict=True)]
        shares[who] = np.mean(changed), np.mean(white) / np.mean(changed)
    assert shares["ours"] == pytest.approx(shares["theirs"], rel=0.06)


def test_drawn_ice_is_as_bright_on_average_as_the_photographs(tmp_path):
    """Its texture is another one; documents say so."""
    images = people((128, 64), MOMENTS)
    theirs = replays.published(images, ["frost"], tmp_path, severities=[3])
    ours = [corrupt(image, "frost", severity=3).mean() for image in images]
    means = [result.mean() for result in theirs.values()]
    print(f"\nfrost means: ours {np.mean(ours):.1f}, photographs {np.mean(means):.1f}")
    assert np.mean(ours) == pytest.approx(np.mean(means), rel=0.12)
    assert stats.ks_2samp(ours, means).pvalue > 1e-4
