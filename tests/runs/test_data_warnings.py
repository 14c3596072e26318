"""Warnings about a data set reach the records of runs: results, pages, provenance."""

import json
import shutil

import pytest
import torch
from markets import write_market
from scripts.tiny_model import Tiny

import torchreid_adv as adv
from torchreid_adv.core.provenance import is_provenance, provenance
from torchreid_adv.report.page import origin


@pytest.fixture
def data(tmp_path):
    """A public set in which one image of the gallery is under two identities."""
    write_market(tmp_path / "data", identities=3, cameras=2, images=1, distractors=1)
    images = sorted((tmp_path / "data").rglob("bounding_box_test/*.jpg"))
    first = images[-1]
    other = next(p for p in images if p.name[:4] not in (first.name[:4], "0000"))
    shutil.copy(first, other)
    return adv.load_dataset("market1501", root=tmp_path / "data"), (first, other)


@pytest.mark.parametrize("page", [True, False])
def test_a_run_records_equal_images_with_its_results(data, page, tmp_path):
    data, files = data
    torch.manual_seed(0)
    model = adv.PixelModel(Tiny().eval(), size=(32, 16))
    attack = adv.build_attack("fgsm", eps=4 / 255)
    with pytest.warns(UserWarning, match="a file with copies under two identities"):
        adv.attack_dataset(model, data, attack, out=tmp_path / "run", page=page)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    (said,) = results["provenance"]["warnings"]
    assert all(file.name in said for file in files)
    if page:
        assert "with copies under two identities" in (tmp_path / "run/report.html").read_text()


def test_provenance_has_warnings_only_where_there_are_some():
    plain, warned = provenance("cpu").facts(), provenance("cpu", warnings=["a", "a", "b"]).facts()
    assert "warnings" not in plain
    assert warned["warnings"] == ["a", "b"]
    assert is_provenance(plain)
    assert is_provenance(warned)
    assert not is_provenance({**plain, "warnings": "a"})
    assert not is_provenance({**plain, "warnings": [1]})
    assert [answer for aspect, answer in origin(warned) if aspect == "Warning"] == ["a", "b"]
