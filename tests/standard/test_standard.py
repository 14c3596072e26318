"""The command ``standard`` on a small market, with budgets cut down."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from markets import write_market

from torchreid_adv import cli, config
from torchreid_adv.standard.versions import LITE, VERSIONS

ROOT = Path(__file__).parents[2]
SMALL = ["data.height", "32", "data.width", "16", "data.workers", "0", "use_gpu", "False"]
SMALL += ["test.normalize_feature", "True", "adv.plugins", "['scripts.tiny_model']"]
CUT = {"steps": 3, "self_steps": 2, "pulls": 1, "square": 6, "noise": 2, "transfer_steps": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("standard")
    write_market(place / "data", identities=4, cameras=2, images=1, sizes=((24, 12), (20, 10)))
    from scripts.tiny_model import Tiny

    for seed, label in enumerate("abc"):
        torch.manual_seed(seed)
        torch.save({"state_dict": Tiny().state_dict()}, place / f"{label}.pth")
    return place


def standard(place, out, *pairs):
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(place / "data")]
    common = [*SMALL, "data.save_dir", str(out)]
    common += ["adv.standard.models", repr([f"mine=tiny:{place / 'a.pth'}"])]
    common += ["adv.standard.version", "lite"]
    return cli.main(["standard", *flags, *common, *pairs])


@pytest.fixture
def cut(monkeypatch):
    short = {"epochs": 1, "sample": 4, "bootstrap": 20, "eps": (2,), "curve": (0,)}
    monkeypatch.setitem(VERSIONS, "lite", dataclasses.replace(LITE, **CUT, **short))


def test_the_command_writes_a_result_for_each_model(place, tmp_path, cut, capsys):
    surrogates = [f"b=tiny:{place / 'b.pth'}", f"c=tiny:{place / 'c.pth'}"]
    assert standard(place, tmp_path, "adv.standard.surrogates", repr(surrogates)) == 0
    result = json.loads((tmp_path / "market1501" / "mine" / "standard.json").read_text())
    assert result["model"]["name"] == "mine"
    assert set(result["tracks"]) == {"Q", "G"}
    assert len(result["surrogates"]) == 2
    for track in result["tracks"].values():
        assert track["2"]["robust"]["mAP"] <= track["2"]["clean"]["mAP"]
    assert "transfer" in result["tracks"]["G"]["2"]["galleries"]
    said = capsys.readouterr().out
    assert "SRR-lite: mine on market1501" in said
    assert "Result: " in said
    page = tmp_path / "market1501" / "mine" / "report.html"
    assert f"Report: {page}" in said
    text = page.read_text(encoding="utf-8")
    assert "torchreid-adv standard -s market1501 -t market1501" in text
    assert "torchreid-adv verify" in text
    assert "save_dir" in text  # the config
    check_verified(place, tmp_path / "market1501" / "mine", capsys)


def check_verified(place, run, capsys):
    """Score a run again by its own model, and by another one."""
    common = ["-t", "market1501", "--root", str(place / "data"), *SMALL]
    for label, code, sentence in (
        ("a", 0, "values exactly"),
        ("b", 2, "in its weights"),
    ):
        config.forget()
        models = repr([f"mine=tiny:{place / label}.pth"])
        assert cli.main(["verify", str(run), *common, "adv.standard.models", models]) == code
        assert sentence in "".join(capsys.readouterr())


def test_a_run_with_itself_as_surrogate_is_not_called_standard(place, tmp_path, cut, capsys):
    same = [f"itself=tiny:{place / 'a.pth'}", f"b=tiny:{place / 'b.pth'}"]
    pairs = ["adv.standard.tracks", "['Q']", "adv.standard.surrogates", repr(same)]
    assert standard(place, tmp_path, *pairs, "adv.report.page", "False") == 0
    said = capsys.readouterr().out
    assert "transferred attacks need 2 other models, and there were 1" in said
    assert "Report: " not in said
    page = tmp_path / "market1501" / "mine" / "report.html"
    assert not page.exists()
    config.forget()
    assert standard(place, tmp_path, *pairs) == 0  # read back, with its page
    assert "and there were 1" in page.read_text(encoding="utf-8")


def test_a_model_that_cannot_be_loaded_ends_the_command_before_the_others(place, tmp_path, capsys):
    models = [f"mine=tiny:{place / 'a.pth'}", f"theirs=osnet_x0_25:{place / 'b.pth'}"]
    assert standard(place, tmp_path, "adv.standard.models", repr(models)) == 2
    assert "were they trained with another model.name" in capsys.readouterr().err.lower()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        (["adv.standard.version", "quick"], "must be one of 'standard', 'lite', 'plus'"),
        (["adv.standard.tracks", "['P']"], "must be one of 'Q', 'G'"),
        (["adv.standard.surrogates", "['tiny']"], "names no model"),
        (["adv.job.shard", "0/2"], "cannot be cut into shards"),
        (["test.dist_metric", "xqda"], "ranks by Euclidean"),
    ],
)
def test_what_cannot_be_is_said(place, tmp_path, capsys, pairs, reason):
    assert standard(place, tmp_path, *pairs) == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))
