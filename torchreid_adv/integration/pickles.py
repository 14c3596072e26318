"""A look at a pickle before it is read: numbers that would make reading it take hours.

Python's dictionaries take quadratic time for keys of one hash. Hashes of texts are drawn anew in
each process; those of large whole numbers can be computed, so that a file of 500 KB can take a
minute. Weights have no large whole numbers.
"""

from __future__ import annotations

import pickletools
import re
from typing import BinaryIO

MOST = 5_000  # numbers of at least LARGE bytes
LARGE = 6
SEEN = 16 * 2**20  # bytes of an older file that its pickles are looked for in
_PICKLES = 5  # that torch.save wrote before PyTorch 1.6: the fourth is the content
_MAYBE = re.compile(rb"\x8a[\x06-\xff]")  # LONG1 and its length


def numbers_fault(file: BinaryIO) -> str:
    """Return what is wrong with the numbers in pickles that follow each other, "" for nothing.

    Args:
        file: open where the first one starts; it is left anywhere.
    """
    start = file.tell()
    if len(_MAYBE.findall(file.read(SEEN))) <= MOST:  # nearly all files: one fast pass
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
                        "beside weights; save its weights alone with "
                        "torch.save(model.state_dict(), path)"
                    )
    except Exception:  # a broken pickle raises what it likes; its reader says what is wrong
        return ""
    return ""
