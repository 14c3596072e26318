"""The page of pictures: attention, features and noise of models beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchreid_adv.jobs.files import write_text
from torchreid_adv.report import words
from torchreid_adv.report.page import environment


def write_gallery(
    path: Path, facts: Mapping[str, Any], images: Mapping[str, bytes], settings: Mapping[str, Any]
) -> Path:
    """Write the page, one file that needs nothing else, and return its path.

    Args:
        path: of the page.
        facts: content of ``pictures.json``.
        images: ``attention``, ``features`` and ``noise`` as PNG.
        settings: the config.
    """
    template = environment().get_template("gallery.html")
    lines = words.config_lines(dict(settings))
    write_text(path, template.render(facts=facts, images=images, config=lines))
    return path
