"""How a data set of the user's own is written in a config: a list, a folder, or sequences."""

from __future__ import annotations

from torchreid_adv.errors import ConfigError

KINDS = ("list", "folder", "mot")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")  # of a list that is named without "list:"
OTHERS = (".xlsx", ".xls", ".ods", ".json", ".feather", ".csv.gz", ".csv.zip", ".txt")


def place_in(name: str) -> tuple[str, str] | None:
    """Return kind and file or folder of an own set, None where it is the name of a registered set.

    Args:
        name: such as ``people.csv``, ``list:people.txt``, ``folder:crops``, ``mot:MOT17/train``.

    Raises:
        ConfigError: a kind without a place, or a table of another format.
    """
    kind, colon, place = name.partition(":")
    if colon and kind.lower() in KINDS:
        if not place.strip():
            raise ConfigError(f"'{name}' names no file or folder; write it behind the colon")
        return kind.lower(), place
    if name.lower().endswith(OTHERS):
        raise ConfigError(
            f"a data set is named '{name}', and a list of images is CSV, JSON lines or Parquet "
            f"({', '.join(SUFFIXES)}); save it as one of these, or write list:{name} if it is text "
            "with commas, semicolons or tabs"
        )
    return ("list", name) if name.lower().endswith(SUFFIXES) else None
