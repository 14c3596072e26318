"""Tables of the video paper and the listed figures, done again on a small HITSZ-VCM."""

import json

import pytest
import torch
from vcm import write_vcm

from torchreid_adv import cli, config
from torchreid_adv.experiments.papers.vi_video import ROWS
from torchreid_adv.models.self_attack import SelfAttackVideo
from torchreid_adv.report.units import DASH

GIVEN = ("baseline", "asam_adm", "asam_adm_stig")
NETWORK = "self_attack_video_resnet18"
pytestmark = pytest.mark.usefixtures("tiny_resnet18")


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_resnet18):
    place = tmp_path_factory.mktemp("video")
    write_vcm(place / "data", train=2, test=3, frames=2)
    for number, label in enumerate(GIVEN):
        torch.manual_seed(number)
        row = ROWS[label]
        network = SelfAttackVideo(
            2,
            backbone="resnet18",
            attack=row.attack,
            defense=row.defense,
            guidance=row.guidance,
        )
        torch.save({"state_dict": network.state_dict()}, place / f"{label}.pth")
    return place


def reproduce(place, name, *pairs, labels=GIVEN, targets=("vcm_i2v", "vcm_v2i")):
    config.forget()
    models = [f"{label}={NETWORK}:{place / label}.pth" for label in labels]
    return cli.main(
        [
            *("reproduce", name, "-s", "vcm_i2v", "-t", *targets, "--root", str(place / "data")),
            *("data.height", "32", "data.width", "16", "data.workers", "0", "data.type", "video"),
            *("data.save_dir", str(place / "out"), "adv.video.min_length", "2", "use_gpu", "False"),
            *("adv.engine", "vi_self_attack", "model.name", NETWORK, "video.seq_len", "2"),
            *("sampler.train_sampler", "CrossModalityTrackletSampler", "train.batch_size", "8"),
            *("test.dist_metric", "cosine", "adv.transfer.models", repr(models), *pairs),
        ]
    )


def cells_of(place, name):
    cells = json.loads((place / "out" / f"{name}.json").read_text())["cells"]
    return {(cell["target"], cell["tested"]): cell for cell in cells}


@pytest.fixture(scope="module")
def done(place, tiny_resnet18):
    for name in ("vi_video.table1", "vi_video.table2"):
        assert reproduce(place, name) == 0
    return place


def test_rows_of_given_weights_stand_beside_the_paper_s(done):
    cells = cells_of(done, "vi_video.table1")
    assert set(cells) == {(t, r) for t in ("vcm_i2v", "vcm_v2i") for r in ROWS}
    assert {tested for (_, tested), cell in cells.items() if cell["ours"]} == set(GIVEN)
    assert all(cell["paper"] for cell in cells.values())
    assert cells["vcm_v2i", "asam"]["paper"]["mAP"] == 30.63
    run = json.loads((done / "out/searches/baseline/results.json").read_text())["found"]
    ours = cells["vcm_i2v", "baseline"]["ours"]
    assert ours["mAP"] == run["vcm_i2v"]["mAP"]
    assert ours["rank5"] == run["vcm_i2v"]["cmc"]["5"]
    text = (done / "out" / "vi_video.table1.md").read_text()
    assert f"| Baseline+ASAM+ADM+FRM-STIG* | {DASH} [64.07]" in text
    assert "asam_adm_te (Baseline+ASAM+ADM+FR-E-TI)" in text


def test_other_methods_are_the_paper_s_alone(done):
    cells = cells_of(done, "vi_video.table2")
    assert {tested for (_, tested), cell in cells.items() if cell["ours"]} == set(GIVEN[1:])
    one = cells_of(done, "vi_video.table1")["vcm_v2i", "asam_adm"]["ours"]
    assert cells["vcm_v2i", "asam_adm"]["ours"] == one
    text = (done / "out" / "vi_video.table2.md").read_text()
    assert ", not in this package: LbA, MPANet, DDAG, VSD, CAJL, MITML." in text
    assert "Left out, because the table has no such model: baseline." in text


def test_nothing_is_searched_twice(done, nothing_is_computed):
    assert reproduce(done, "vi_video.table1") == 0


@pytest.mark.parametrize(
    ("pairs", "labels", "message"),
    [
        ((), (), "vi_video.table1 takes models under the paper's labels"),
        (("adv.engine", "''", "model.name", "resnet18"), GIVEN, "tracklets of two modalities"),
    ],
)
def test_what_cannot_be_is_a_sentence(place, capsys, pairs, labels, message):
    assert reproduce(place, "vi_video.table1", *pairs, labels=labels) == 2
    assert message in capsys.readouterr().err


def test_listed_figures_are_shown_with_what_is_not_known_of_them(tmp_path, capsys):
    config.forget()
    folder = str(tmp_path / "out")
    assert cli.main(["reproduce", "bai2019.cross_modality", "data.save_dir", folder]) == 0
    printed = capsys.readouterr().out
    for target, figure in (
        *(("sysu_mm01_indoor", "24.85"), ("regdb_v2i", "30.86"), ("regdb_i2v", "25.83")),
        *(("sysu_mm01", "28.36"), ("llcm_v2i", "28.48"), ("llcm_i2v", "25.64")),
    ):
        after = printed.split(f"| {target}: ")[1]
        assert f"[{figure}]" in after.split("\n")[2]
    assert "which network, which training, or whether and how anything was attacked" in printed
    cells = json.loads((tmp_path / "out" / "bai2019.cross_modality.json").read_text())["cells"]
    assert len(cells) == 6
    assert not any(cell["ours"] for cell in cells)
