import numpy as np
import pytest

from torchreid_adv import cli
from torchreid_adv.core import pixels
from torchreid_adv.data.images import read_pixels
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.report.transform_sheet import _cells


def test_a_sheet_is_a_picture_of_the_transforms_named(tmp_path, capsys):
    for name, names in (("one", ["lgt"]), ("two", ["lgt", "sketch"]), ("again", ["lgt"])):
        out = str(tmp_path / f"{name}.png")
        assert cli.main(["contact-sheet", *names, "--draws", "1", "--out", out]) == 0
        assert out in capsys.readouterr().out
    one, two = (read_pixels(tmp_path / f"{name}.png") for name in ("one", "two"))
    assert two.shape[0] == 2 * one.shape[0]
    assert two.shape[1] == one.shape[1]
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_no_image_is_shown_twice_and_one_look_goes_on_with_other_people(monkeypatch):
    monkeypatch.setattr("torchreid_adv.report.transform_sheet._CALLS", 300)
    cells = _cells("grayscale", 0)
    shown = [next(cells) for _ in range(4)]
    assert [caption == "original" for _, caption in shown] == [True, False, True, False]
    assert len({picture.tobytes() for picture, _ in shown}) == 4
    gray = np.asarray(shown[1][0])
    assert (gray[..., 0] == gray[..., 1]).all()


class Darker:
    """Half the light."""

    def __call__(self, tensor):
        assert 0 <= tensor.min() <= tensor.max() <= 1
        return tensor / 2


def test_transforms_of_tensors_are_shown_too():
    TRANSFORMS.register("darker", stage="tensor")(Darker)
    try:
        cells = _cells("darker", 0)
        (before, _), (after, _) = next(cells), next(cells)
    finally:
        TRANSFORMS.remove("darker")
    assert np.abs(np.asarray(before) / 2 - np.asarray(after)).max() <= 0.5
    assert pixels.to_tensor(np.asarray(after)).max() <= 0.51


@pytest.mark.parametrize("flags", [["lgtt"], ["--draws", "0"], ["--seed", "-1"]])
def test_what_cannot_be_drawn_is_refused(flags, tmp_path):
    out = tmp_path / "sheet.png"
    try:
        code = cli.main(["contact-sheet", *flags, "--out", str(out)])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert not out.exists()


def test_corruptions_are_drawn_three_a_row(tmp_path):
    sizes = []
    for names in (["fog"], ["fog", "rain", "Snow"], ["fog", "rain", "snow", "frost"]):
        out = tmp_path / f"{len(names)}.png"
        assert cli.main(["contact-sheet", *names, "--out", str(out)]) == 0
        sizes.append(read_pixels(out).shape[:2])
    (one, narrow), (row, wide), (two_rows, same) = sizes
    assert row == one
    assert two_rows == pytest.approx(2 * one, abs=2)
    assert same == wide > 2 * narrow
    assert cli.main(["contact-sheet", "--corruptions", "lgt", "--out", str(tmp_path / "x")]) == 2
