"""A check of a pickle before reading: numbers that would make reading take hours.

Python's dictionaries take quadratic time for keys with the same hash. Hashes of strings are
randomized in each process, but those of large integers can be computed, so a file of 500 KB can
take a minute. Weights contain no large integers.
"""

from __future__ import annotations

import pickletools
import re
from typing import BinaryIO

MOST = 5_000  # largest number of integers of at least LARGE bytes
LARGE = 6
SEEN = 16 * 2**20  # bytes of an older file that are searched for its pickles
_PICKLES = 5  # written by torch.save before PyTorch 1.6: the fourth is the content
_MAYBE = re.compile(rb"\x8a[\x06-\xff]")  # LONG1 and its length


def numbers_fault(file: BinaryIO) -> str:
    """Return what is wrong with the numbers in consecutive pickles, "" for nothing.

    Args:
        file: open at the start of the first pickle; its position changes.
    """
    start = file.tell()
    if len(_MAYBE.findall(file.read(SEEN))) <= MOST:  # true for nearly all files, in one fast pass
        return ""
    file.seek(start)
    count = 0
    try:
        for _ in range(_PICKLES):
            for opcode, value, _ in pickletools.genops(file):
                large = opcode.name == "LONG1" and int(value or 0).bit_length() > 8 * (LARGE - 1)
                count += large
                if count > MOST:
                    return (
                        f"it holds more than {MOST:,} whole numbers of over {8 * (LARGE - 1)} bits "
                        "besides weights; save its weights alone with "
                        "torch.save(model.state_dict(), path)"
                    )
    except Exception:  # a broken pickle may raise anything; its reader reports what is wrong
        return ""
    return ""
