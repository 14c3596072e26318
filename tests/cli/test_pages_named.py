"""Help texts name the page that a command writes."""

import pytest

from torchreid_adv.registry import COMMANDS

PAGES = {
    "attack": "report.html", "card": "card.html", "leaderboard": "leaderboard.html",
    "pictures": "report.html", "reproduce": "NAME.html", "scenarios": "scenarios.html",
    "standard": "report.html", "study": "study.html", "sweep": "sweep.html",
    "transfer": "transfer.html", "zoo": "zoo.html",
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_the_help_text_names_the_page(name):
    assert PAGES[name] in COMMANDS.facts(name)["usage"].writes
