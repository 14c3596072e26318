"""Target maps: which other identity a targeted attack pulls each image to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from torchreid_adv.data.batch import generator
from torchreid_adv.data.datasets import Record
from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.manifest import sha256

MAX_BYTES = 100_000_000


def target_map(
    setting: str, records: Sequence[Record], pids: Tensor, *, seed: int = 0
) -> dict[str, int]:
    """Return image_id or pid (as text) -> target identity.

    Args:
        setting: ``random`` (another identity for each image, seeded), one pid, or a JSON file that
            maps image_ids or pids to pids.
        records: the images that are attacked.
        pids: (R,) identities that have reference features.
        seed: of the random choice.

    Raises:
        ConfigError: a setting that cannot be read, or a target without reference features.
    """
    known = sorted(set(pids.tolist()))
    if setting == "random":
        return {r.image_id: _other(r, known, seed) for r in records}
    chosen = _read(Path(setting)) if not setting.lstrip("-").isdigit() else {}
    if not chosen:
        chosen = {record.image_id: int(setting) for record in records}
    missing = sorted(set(chosen.values()) - set(known))
    if missing:
        raise ConfigError(
            f"adv.attack.target_map names identity {missing[0]}, which has no image on the other "
            f"side; known are {known[0]} to {known[-1]}"
        )
    return chosen


def map_facts(setting: str) -> dict[str, str]:
    """Return what makes a target map the same one: the setting and, of a file, its content."""
    path = Path(setting)
    facts = {"target_map": setting}
    return facts | ({"target_map_sha256": sha256(path.read_bytes())} if path.is_file() else {})


def _other(record: Record, known: Sequence[int], seed: int) -> int:
    others = [pid for pid in known if pid != record.pid]
    if not others:
        raise ConfigError("a targeted attack needs at least two identities on the other side")
    draw = torch.randint(len(others), (1,), generator=generator(seed, "target", record.image_id))
    return others[int(draw)]


def _read(path: Path) -> dict[str, int]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"target map '{path}' is larger than {MAX_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): int(pid) for key, pid in content.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"adv.attack.target_map is 'random', a pid, or a JSON file of image_id or pid -> pid; "
            f"'{path}' cannot be read: {error}"
        ) from error
