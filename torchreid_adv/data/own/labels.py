"""Names of identities and cameras, and their numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from torchreid_adv.data.listing import Layout
from torchreid_adv.data.lists import LARGEST
from torchreid_adv.data.warned import warn
from torchreid_adv.errors import printable

NOTHING = frozenset(
    (
        *("", "nan", "-nan", "none", "null", "nil", "na", "n/a", "<na>", "nat", "?", "-"),
        *("#n/a", "#na", "#n/a n/a", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),  # of pandas
        *("#ref!", "#value!", "#name?", "#div/0!", "#num!", "#null!"),  # of spreadsheets
    )
)
_WHOLE = re.compile(r"\d+", re.ASCII)
_NEGATIVE = re.compile(r"-\d+", re.ASCII)
_FRACTION = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(\.\d*)?e[-+]?\d+|inf|infinity)", re.A | re.I)
# a number as spreadsheets or keyboards write it: 20,0 +20 ="20" '20 1,020 1,23E+05
_DISGUISED = re.compile(
    r"[-+=\"'\u2212\u2013]+\d+([.,]\d+)*[\"']?|\d+(,\d+)+(e[-+]?\d+)?|\d+[\"']+", re.A | re.I
)
_SHOWN = 60
_LONGEST = 200  # largest number of characters of a name


def word_of(text: str, kind: str, where: str, layout: Layout) -> str:
    """Check and return the name of an identity, a camera or a view.

    Args:
        text: as written.
        kind: "pid", "camid" or "view".
        where: location, for errors.
        layout: for errors.

    Raises:
        DataError: it is empty, negative, a fraction, a number that is not written in digits alone,
            or contains control characters.
    """
    word = unicodedata.normalize("NFC", text)
    if word.casefold() in NOTHING:
        fault = f"is '{word}'" if word else "is empty"
        raise layout.error(f"{where}: {kind} {fault}; write a number or a name, or remove the row")
    if not word.isprintable():
        raise layout.error(f"{where}: {kind} '{printable(word[:_SHOWN])}' holds control characters")
    if len(word) > _LONGEST:
        raise layout.error(
            f"{where}: {kind} '{word[:_SHOWN]}...' has more than {_LONGEST} characters; is a comma "
            "or a line end missing?"
        )
    if _NEGATIVE.fullmatch(word):
        raise layout.error(
            f"{where}: {kind} is {word[:_SHOWN]}; numbers start from 0. Remove junk, and give "
            "every distractor a separate identity"
        )
    plain = unicodedata.normalize("NFKC", word)
    other_digits = plain.isdecimal() and not word.isascii()
    if other_digits or _DISGUISED.fullmatch(word):
        raise layout.error(
            f"{where}: {kind} is '{word[:_SHOWN]}', which another program wrote for a number; "
            "write its digits from 0 to 9 alone"
        )
    if _FRACTION.fullmatch(word):
        raise layout.error(
            f"{where}: {kind} is the fraction {word[:_SHOWN]}; write it as a whole number"
        )
    return word


@dataclass(frozen=True)
class Numbers:
    """Names and their numbers.

    Args:
        number: name -> number.
        words: names by number, if they differ from the numbers; else empty.
    """

    number: dict[str, int]
    words: tuple[str, ...]

    @classmethod
    def of(cls, words: Iterable[str]) -> Numbers:
        """Number names from 0 in sorted order, integers by size."""
        ordered = sorted(set(words), key=lambda word: (*_size(word), word))
        return cls({word: number for number, word in enumerate(ordered)}, tuple(ordered))

    @classmethod
    def kept(cls, words: Iterable[str]) -> Numbers:
        """Keep integers unchanged if all names are integers; else number them as :meth:`of`."""
        words = set(words)
        if all(_WHOLE.fullmatch(word) and _size(word)[1] <= LARGEST for word in words):
            return cls({word: int(word) for word in words}, ())
        return cls.of(words)


def check_spelling(words: Iterable[tuple[str, str]], kind: str, layout: Layout) -> None:
    """Refuse numbers written in two ways, and warn of names that look alike.

    Args:
        words: names with their locations, for errors.
        kind: "pid", "camid", "view" or "clothes".
        layout: for errors.

    Raises:
        DataError: a number is written in two ways, such as 7 and 007.
    """
    known: set[str] = set()
    alike: dict[str, str] = {}
    for word, where in words:
        if not word or word in known:
            continue
        known.add(word)
        twin = alike.setdefault(_folded(word), word)
        if twin != word and _WHOLE.fullmatch(word) and _WHOLE.fullmatch(twin):
            raise layout.error(
                f"{where}: {kind} '{word[:_SHOWN]}' is '{twin[:_SHOWN]}' elsewhere; write a "
                "number in one way"
            )
        if twin != word:
            differs = "case" if twin.casefold() == word.casefold() else "blanks, signs or zeros"
            warn(
                f"{where}: {kind} '{word[:_SHOWN]}' differs from '{twin[:_SHOWN]}' by {differs} "
                "alone, and the two count as different; write one name in one way"
            )


def _folded(word: str) -> str:
    """Return a name without case, form of letters, blanks, signs and leading zeros."""
    plain = unicodedata.normalize("NFKC", word).casefold()
    return " ".join(re.split(r"[\s_.-]+", re.sub(r"(?<![\d.])0+(?=\d)", "", plain).strip()))


def _size(word: str) -> tuple[int, int]:
    """Return the sort key of integers, before all other names."""
    digits = word.lstrip("0") or "0"
    if not _WHOLE.fullmatch(word):
        return 1, 0
    return 0, int(digits)
