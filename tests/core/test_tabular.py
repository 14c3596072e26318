"""Results as tables: CSV, LaTeX, HTML and data frames say the same, and escape what they show."""

import csv
import io
import math
import sys
import types

import numpy as np
import pytest
from people import Stripes, pixel_model, write_people

import torchreid_adv as adv
from torchreid_adv.core.tabular import SHOWN, Rows
from torchreid_adv.errors import ConfigError

ROWS = [
    {"name": "a_b & <script>", "mAP": 0.5, "eps": 8.0, "rank": 3},
    {"name": "c", "mAP": math.nan, "eps": 0.123456, "further": None},
]
TABLE = Rows("scores", ROWS, ("mAP",))


def test_csv_holds_every_number_as_it_is(tmp_path):
    text = TABLE.to_csv(tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text() == text
    first, second = csv.DictReader(io.StringIO(text))
    assert first == {"name": "a_b & <script>", "mAP": "0.5", "eps": "8.0", "rank": "3",
                     "further": ""}  # fmt: skip
    assert (second["mAP"], second["eps"], second["rank"]) == ("nan", "0.123456", "")


def test_latex_is_escaped_and_in_percent(tmp_path):
    text = TABLE.to_latex(tmp_path / "scores.tex", columns=["name", "mAP", "eps"])
    assert (tmp_path / "scores.tex").read_text() == text
    assert text.splitlines() == [
        r"\begin{tabular}{lrr}", r"\toprule", r"name & mAP & eps \\", r"\midrule",
        r"a\_b \& <script> & 50.0\% & 8 \\", r"c &  & 0.1235 \\", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="did you mean 'mAP'"):
        TABLE.to_latex(columns=["map"])


def test_html_is_escaped_and_says_how_many_rows_it_leaves_out():
    shown = TABLE._repr_html_()
    assert "<script" not in shown
    assert "a_b &amp; &lt;script&gt;" in shown
    assert "50.0%" in shown
    many = Rows("many", [{"n": n} for n in range(SHOWN + 3)])._repr_html_()
    assert many.count("<tr>") == SHOWN + 1
    assert "3 more rows" in many


def test_a_data_frame_is_pandas_own_or_a_sentence(monkeypatch):
    made = []
    pandas = types.SimpleNamespace(DataFrame=lambda rows, columns: made.append((rows, columns)))
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    TABLE.to_frame()
    assert made == [(ROWS, ["name", "mAP", "eps", "rank", "further"])]
    monkeypatch.setitem(sys.modules, "pandas", None)  # as where it is not installed
    with pytest.raises(ConfigError, match="pip install pandas, or use to_csv"):
        TABLE.to_frame()


def test_each_query_has_its_scores():
    result = adv.RetrievalResult(
        ("a", "b", "c"), np.array([1, 2, 3]), np.array([1.0, np.nan, 0.25]), np.array([0, -1, 3]),
        np.array([1.0, np.nan, 0.2]), np.array([True, False, True]), np.linspace(0.5, 1, 20),
    )  # fmt: skip
    table = result.per_query()
    assert table.rows() == [
        {"image_id": "a", "pid": 1, "average_precision": 1.0, "inverse_penalty": 1.0,
         "first_match": 1},
        {"image_id": "b", "pid": 2, "average_precision": None, "inverse_penalty": None,
         "first_match": None},
        {"image_id": "c", "pid": 3, "average_precision": 0.25, "inverse_penalty": 0.2,
         "first_match": 4},
    ]  # fmt: skip
    assert result.mAP == np.mean([row["average_precision"] for row in table.rows()[::2]])
    (row,) = result.rows()
    assert row == {"mAP": 0.625, "mINP": 0.6, "rank-1": 0.5, "rank-5": result.rank(5),
                   "rank-10": result.rank(10), "rank-20": 1.0, "queries": 2,
                   "skipped": 1}  # fmt: skip
    assert "62.5\\%" in result.to_latex()


def through_jpeg():
    return adv.Defended(adv.build_defense("jpeg", quality=75), pixel_model(Stripes()))


THINGS = {
    "ifgsm(eps=8/255, step_size=1/255, steps=4": lambda: adv.build_attack(
        "ifgsm", eps=8 / 255, steps=4
    ),
    "square(eps=5/255": lambda: adv.build_attack("square", eps=5 / 255),
    "quality=75": lambda: adv.build_defense("jpeg", quality=75),
    "PixelModel(Stripes, 16x8, pillow": lambda: pixel_model(Stripes()),
    "Ensemble(PixelModel(Stripes": lambda: adv.Ensemble([pixel_model(Stripes())] * 2),
    "Defended(": through_jpeg,
}


@pytest.mark.parametrize(("line", "thing"), THINGS.items(), ids=THINGS)
def test_a_line_says_what_a_thing_is(line, thing):
    shown = repr(thing())
    assert line in shown
    assert "\n" not in shown


def test_a_data_set_counts_its_images(tmp_path):
    data = write_people(tmp_path, identities=3, train=2)
    assert repr(data) == (
        "ReIDData(people: train 12 images of 2 identities, query 6 images of 3 identities, "
        "gallery 12 images of 3 identities, 2 cameras)"
    )
