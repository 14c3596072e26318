"""``torchreid-adv demo``: the quick start, from whatever folder it is called in."""

from __future__ import annotations

from torchreid_adv.commands import attack_gallery
from torchreid_adv.registry import COMMANDS

CONFIG = "configs/quickstart.yaml"


@COMMANDS.register("demo", help="the quick start: virtual people, a model, an attack, a report")
def main(arguments: list[str]) -> int:
    """Do what ``attack-gallery`` does with the quick start's config, and return its exit code.

    Virtual people are rendered below ``reid-data`` and the report is written to ``log/quickstart``,
    both in the current folder.
    """
    return attack_gallery.main(arguments, name="demo", config_file=CONFIG)
