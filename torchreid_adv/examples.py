"""The example configs: those of a clone, or the ones that an installed package carries."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = "configs"


def examples() -> Path | None:
    """Return the folder of the example configs; None where the package came without them."""
    here = Path(__file__).parent
    if (here / FOLDER).is_dir():  # installed
        return here / FOLDER
    clone = here.parent
    return clone / FOLDER if (clone / "pyproject.toml").is_file() else None


def found(name: str | Path) -> Path:
    """Return the file that a config's name means.

    What exists is taken as it is. A name ``configs/...`` that does not exist in the current folder
    means the example of that name, and which file that is goes to stderr.

    Args:
        name: as the user gave it.
    """
    path, folder = Path(name), examples()
    if path.exists() or path.parts[:1] != (FOLDER,) or ".." in path.parts or folder is None:
        return path
    example = folder.joinpath(*path.parts[1:])
    if not example.is_file():
        return path
    print(f"=> Taking the example config {example}", file=sys.stderr)
    return example


def described() -> list[tuple[str, str]]:
    """Return the name of each example and its first comment, sorted by name."""
    folder = examples()
    if folder is None:
        return []
    return [
        (f"{FOLDER}/{path.relative_to(folder).as_posix()}", _comment(path))
        for path in sorted(folder.rglob("*.yaml"))
    ]


def _comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
