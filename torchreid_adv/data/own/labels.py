"""Words that stand for identities and cameras, and the numbers that they get."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from torchreid_adv.data.listing import Layout
from torchreid_adv.data.lists import LARGEST
from torchreid_adv.errors import printable

NOTHING = frozenset(("", "nan", "none", "null", "na", "n/a", "<na>", "nat"))
_WHOLE = re.compile(r"\d+", re.ASCII)
_NEGATIVE = re.compile(r"-\d+", re.ASCII)
_FRACTION = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(\.\d*)?e[-+]?\d+|inf|infinity)", re.A | re.I)
_SHOWN = 60
_LONGEST = 200  # characters of a word


def word_of(text: str, what: str, where: str, layout: Layout) -> str:
    """Return what stands for an identity, a camera or a view, checked.

    Args:
        text: as it is written.
        what: "pid", "camid" or "view".
        where: for the error.
        layout: for the error.

    Raises:
        DataError: it is empty, a number below 0 or with a fraction, or holds control characters.
    """
    word = unicodedata.normalize("NFC", text)
    if word.casefold() in NOTHING:
        said = f"is '{word}'" if word else "is empty"
        raise layout.error(f"{where}: {what} {said}; write a number or a name, or remove the row")
    if not word.isprintable():
        raise layout.error(f"{where}: {what} '{printable(word[:_SHOWN])}' holds control characters")
    if len(word) > _LONGEST:
        raise layout.error(
            f"{where}: {what} '{word[:_SHOWN]}...' has more than {_LONGEST} characters; is a comma "
            "or a line end missing?"
        )
    if _NEGATIVE.fullmatch(word):
        raise layout.error(
            f"{where}: {what} is {word[:_SHOWN]}; numbers start from 0. Remove junk, and give "
            "distractors identities of their own"
        )
    if _FRACTION.fullmatch(word):
        raise layout.error(
            f"{where}: {what} is the fraction {word[:_SHOWN]}; write it as a whole number"
        )
    return word


@dataclass(frozen=True)
class Numbers:
    """Words and their numbers.

    Args:
        number: of each word.
        words: by number, where numbers are not what is written; else empty.
    """

    number: dict[str, int]
    words: tuple[str, ...]

    @classmethod
    def of(cls, words: Iterable[tuple[str, str]], what: str, layout: Layout) -> Numbers:
        """Number words from 0 in sorted order, whole numbers by their size.

        Args:
            words: with the place where each is written, for the error.
            what: "pid", "camid" or "view".
            layout: for the error.

        Raises:
            DataError: one number is written in two ways, such as 7 and 007.
        """
        known = _once(words, what, layout)
        ordered = sorted(known, key=lambda word: (*_size(word), word))
        return cls({word: number for number, word in enumerate(ordered)}, tuple(ordered))

    @classmethod
    def kept(cls, words: Iterable[tuple[str, str]], what: str, layout: Layout) -> Numbers:
        """Keep whole numbers as they are, if all words are such; else as :meth:`of`."""
        words = list(words)
        if all(_WHOLE.fullmatch(word) and _size(word)[1] <= LARGEST for word, _ in words):
            return cls({word: int(word) for word in _once(words, what, layout)}, ())
        return cls.of(words, what, layout)


def _once(words: Iterable[tuple[str, str]], what: str, layout: Layout) -> list[str]:
    """Return each word once, after a look for numbers that are written in two ways."""
    spelled: dict[str, str] = {}
    known: dict[str, None] = {}
    for word, where in words:
        known[word] = None
        if _WHOLE.fullmatch(word):
            first = spelled.setdefault(word.lstrip("0") or "0", word)
            if first != word:
                raise layout.error(
                    f"{where}: {what} '{word[:_SHOWN]}' is '{first[:_SHOWN]}' elsewhere; write a "
                    "number in one way"
                )
    return list(known)


def _size(word: str) -> tuple[int, int]:
    """Return what whole numbers are sorted by, before all other words."""
    digits = word.lstrip("0") or "0"
    if not _WHOLE.fullmatch(word):
        return 1, 0
    return 0, int(digits)
