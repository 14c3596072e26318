"""The page of pictures: attention, features and noise of models beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchreid_adv.jobs.files import write_text
from torchreid_adv.report import words
from torchreid_adv.report.page import environment


def write_gallery(
    path: Path,
    facts: Mapping[str, Any],
    images: Mapping[str, bytes],
    settings: Mapping[str, Any],
    *,
    template: str = "gallery.html",
) -> Path:
    """Write the page, one file that needs nothing else, and return its path.

    Args:
        path: of the page.
        facts: content of ``pictures.json``.
        images: those that the template names, as PNG.
        settings: the config.
        template: of the page.
    """
    lines = words.config_lines(dict(settings))
    page = environment().get_template(template)
    write_text(path, page.render(facts=facts, images=images, config=lines))
    return path
