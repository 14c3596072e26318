"""The page on calibration shows the results that are kept beside it, and nothing else."""

import json
import re

import pytest
from pages import ROOT

from torchreid_adv import config
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments import calibration as facts
from torchreid_adv.experiments import claims as tables
from torchreid_adv.experiments.claims import Reading

RESULTS = sorted((ROOT / "docs" / "results").glob("calibration*.json"))
PAGE = (ROOT / "docs" / "studies.md").read_text()
SECTION = PAGE.split("\n## Calibration\n")[1].split("\n## ")[0]


def readings_of(path):
    return [Reading(**reading) for reading in json.loads(path.read_text())["readings"]]


def rows(text):
    return [line for line in text.splitlines() if line.startswith("| ")]


def test_there_are_results():
    assert RESULTS


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_row_of_the_results_is_on_the_page(path):
    readings = readings_of(path)
    wanted = rows(facts.summary(readings))
    if not json.loads(path.read_text())["pairs"]:  # of the config as it is, all tables
        wanted += rows(tables.readings_table(readings))
    assert len(wanted) > 10
    missing = [row for row in wanted if row not in SECTION]
    assert not missing


NAMES = {"ifgsm": "I-FGSM", "mifgsm": "MI-FGSM"}


def control_rows():
    """The rows of networks with a start and one without: percent of clean mAP that is kept."""
    cells = json.loads((ROOT / "docs" / "results" / "start_control.json").read_text())["cells"]
    kept = {}
    for cell in cells:
        shares = kept.setdefault((cell["attacked"], NAMES[cell["attack"]]), {})
        shares[cell["tested"]] = 100 * cell["adversarial"] / cell["clean"]
    order = ("shufflenet", "shufflenet-2", "alone")
    return {
        f"| {attacked} | {attack} | {' | '.join(f'{shares[name]:.1f}' for name in order)} |"
        for (attacked, attack), shares in kept.items()
    }


def test_the_control_is_on_the_page():
    assert len(control_rows()) == 6
    assert control_rows() <= set(rows(SECTION))


def test_every_row_of_the_page_is_of_the_results():
    known = control_rows() | {"| noise made on | attack | shufflenet | shufflenet-2 | alone |"}
    known |= {row for path in RESULTS for row in rows(facts.summary(readings_of(path)))}
    known |= {row for path in RESULTS for row in rows(tables.readings_table(readings_of(path)))}
    assert set(rows(SECTION)) <= known


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_results_are_of_the_config_that_the_page_names(path):
    content = json.loads(path.read_text())
    cfg = default_config()
    cfg.merge_from_file(str(ROOT / "configs" / "study" / f"{content['config_file']}.yaml"))
    cfg.merge_from_list(content["pairs"])
    now, then = config.plain(cfg), content["config"]
    sections = [(now["train"], then["train"]), (now["loss"], then["loss"])]
    sections += [(now["data"], {k: v for k, v in then["data"].items() if k != "save_dir"})]
    for name in ("start", "schedule", "study", "virtual", "attack"):
        sections.append((now["adv"][name], then["adv"][name]))
    for new, old in sections:
        assert {key: new[key] for key in old} == old
    line = " ".join([f"configs/study/{content['config_file']}.yaml", *map(str, content["pairs"])])
    assert line.split(".yaml")[0] in SECTION
    assert all(re.search(re.escape(str(pair)), SECTION) for pair in content["pairs"])
