"""Options of one attack in a table of several."""

import json

import pytest
import torch
from markets import write_market
from scripts.tiny_model import Tiny

from torchreid_adv import cli, config

ATTACKS = "['ifgsm', 'sma', 'lta']"
pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("options")
    write_market(place / "data", identities=3, cameras=2, images=1, distractors=1)
    torch.manual_seed(0)
    torch.save({"state_dict": Tiny().state_dict()}, place / "N.pth")
    return place


def run(place, out, command, *pairs):
    config.forget()
    return cli.main(
        [
            *(*command, "-s", "market1501", "-t", "market1501", "--root", str(place / "data")),
            *("data.height", "32", "data.width", "16", "data.workers", "0"),
            *("test.normalize_feature", "True", "adv.attack.side", "query"),
            *("data.save_dir", str(place / out), "adv.plugins", "['scripts.tiny_model']"),
            *("adv.transfer.models", f"['N=tiny:{place / 'N.pth'}']", *pairs),
        ]
    )


def roots(place, out):
    """Return what an attack left: the digest of its stored images."""
    found = {}
    for path in (place / out / "attacks" / "N").iterdir():
        results = json.loads((path / "results.json").read_text())["targets"]["market1501"]
        found[path.name.split("-")[0]] = results["root"]
    return found


def test_an_option_changes_its_attack_and_no_other(place):
    pairs = ("adv.transfer.attacks", ATTACKS)
    assert run(place, "all", ("transfer",), *pairs) == 0
    assert run(place, "one", ("transfer",), *pairs, "adv.attack.options.lta.steps", "3") == 0
    before, after = roots(place, "all"), roots(place, "one")
    assert set(before) == {"ifgsm", "sma", "lta"}
    assert {name for name in before if before[name] != after[name]} == {"lta"}


def test_a_reproduced_table_says_which_options_are_not_the_papers(place, capsys):
    name = ("reproduce", "joint_defense.table1")
    pairs = ("adv.attack.options.lta.legacy", "True")
    assert run(place, "table", name, *pairs) == 0
    printed = capsys.readouterr().out
    assert "differ from the paper's: {'lta': {'legacy': True}}." in printed
    results = json.loads((place / "table/attacks/N/lta-eps5/results.json").read_text())
    attack = results["targets"]["market1501"]["attack"]
    assert attack["steps"] == 15
    assert run(place, "plain", name) == 0
    assert "differ from the paper's" not in capsys.readouterr().out
