from dataclasses import replace

import pytest
import readers
import small_networks
from pages import ROOT

from torchreid_adv.experiments.card.budgets import CARDS
from torchreid_adv.standard.versions import VERSIONS

# the budgets of the standard evaluation, which no key can change
CUT = {"steps": 2, "self_steps": 1, "pulls": 1, "square": 3, "noise": 2, "transfer_steps": 1}
CUT |= {"epochs": 1, "sample": 4, "bootstrap": 20, "eps": (8,), "curve": (0,)}
CUT |= {"rounds": (), "audit": 0}


@pytest.fixture
def place(page, tmp_path, monkeypatch):
    """The folder of a page's reader, in which each network is a small one."""
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    small_networks.swap(monkeypatch, victims=page != "victims")  # that page is about them
    small_networks.swap_foreign(monkeypatch)
    for name, version in VERSIONS.items():
        monkeypatch.setitem(VERSIONS, name, replace(version, **CUT))
    for name, card in CARDS.items():
        cut = replace(card, draws=1, severities=(3,), occlusions=(3,), bootstrap=20)
        monkeypatch.setitem(CARDS, name, cut)
    readers.equip(tmp_path, page)
    return tmp_path
