"""Which gallery images count, in sentences: the protocol of a data set."""

from __future__ import annotations

from torchreid_adv.evaluation.galleries import GalleryRules
from torchreid_adv.evaluation.protocol import CUHK, MARKET
from torchreid_adv.registry import PROTOCOLS


def rule_sentence(name: str) -> str:
    """Return a sentence on a protocol, "" for that of Market-1501, which all pages explain.

    Args:
        name: of the protocol, as results have it.
    """
    if name in ("", MARKET, CUHK):
        return ""
    title = PROTOCOLS.facts(name).get("title", "") if name in PROTOCOLS else ""
    return f"Scored by the protocol {name}{f': {title}' if title else ''}."


def left_out_sentence(rules: GalleryRules) -> str:
    """Return which images of the same person lists and scores leave out."""
    if rules.uneven:
        return "An image is not listed as its own match."
    kinds = []
    if rules.same_camera:
        kinds.append("by the query's own camera")
    if rules.same_clothes:
        worn = "the query's" if rules.same_clothes == "ignored" else "other"
        kinds.append(f"in {worn} clothes")
    if not kinds:
        return "No image of the same person is left out, as in the evaluation."
    return f"Images of the same person {' or '.join(kinds)} are left out, as in the evaluation."
