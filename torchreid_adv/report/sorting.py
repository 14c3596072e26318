"""The one script that pages have: tables whose heads sort them, allowed by its hash alone."""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass
from importlib import resources

from markupsafe import Markup


@dataclass(frozen=True)
class Sorting:
    """What a page with sortable tables needs.

    A template sets ``sortable`` before it includes ``page_head.html``, gives its tables the class
    ``sortable``, a ``thead`` of one row and one ``tbody``, and includes ``sorting.html`` as the
    last of its body. Without scripts the tables stay as they are written.

    Args:
        script: text of ``sorting.js``.
    """

    script: Markup

    @property
    def hash(self) -> str:
        """The source expression of a content security policy that allows this script alone."""
        digest = hashlib.sha256(self.script.encode("utf-8")).digest()
        return f"sha256-{base64.b64encode(digest).decode('ascii')}"


@functools.cache
def sorting() -> Sorting:
    """Return the script as it is shipped; nothing of a run is ever part of it."""
    text = resources.files("torchreid_adv.report").joinpath("sorting.js").read_text("utf-8")
    return Sorting(Markup(text.replace("\r\n", "\n")))
