"""Target maps: which other identity a targeted attack pulls each image to."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.data.batch import generator
from torchreid_adv.data.datasets import Record
from torchreid_adv.errors import ConfigError, printable, suggest
from torchreid_adv.jobs.manifest import sha256

MAX_BYTES = 100_000_000
RANDOM = "random"
_PID = re.compile(r"-?[0-9]{1,18}")


def target_map(
    setting: str,
    records: Sequence[Record],
    pids: Tensor,
    *,
    seed: int = 0,
    side: str = "attacked",
    left_out: Collection[str] = (),
) -> dict[str, int]:
    """Return image_id -> target identity, of the images that have a target.

    An image that the setting gives no target, and an image of the one target identity, is not in
    the map: it is not attacked and not counted.

    Args:
        setting: ``random`` (another identity for each image, seeded), one pid, or a JSON file that
            maps image_ids or pids to pids; an image_id goes before its pid.
        records: the images of the attacked side.
        pids: (R,) identities that have reference features.
        seed: of the random choice.
        side: what an error calls these images.
        left_out: names that a file may have, but that are no records: bad images.

    Raises:
        ConfigError: a setting that cannot be read, names that are no images of the side, an image's
            own identity as its target, a target without reference features, or no target at all.
    """
    known = sorted(set(pids.tolist()))
    if setting == RANDOM:
        return {r.image_id: _other(r, known, seed) for r in records}
    if _PID.fullmatch(setting):
        pid = int(setting)
        targets = {record.image_id: pid for record in records if record.pid != pid}
    else:
        targets = _of_file(Path(setting).expanduser(), records, side, left_out)
    missing = sorted(set(targets.values()) - set(known))
    if missing:
        raise ConfigError(
            f"adv.attack.target_map names identity {missing[0]}, which has no image on the other "
            f"side; known are {known[0]} to {known[-1]}"
        )
    if not targets:
        raise ConfigError(
            f"adv.attack.target_map '{setting}' gives no {side} image another identity as its "
            "target, so there is nothing to attack"
        )
    return targets


def map_facts(setting: str) -> dict[str, str]:
    """Return what makes a target map the same one: the setting and, of a file, its content."""
    path = Path(setting).expanduser()
    facts = {"target_map": setting}
    return facts | ({"target_map_sha256": sha256(path.read_bytes())} if path.is_file() else {})


def _of_file(
    path: Path, records: Sequence[Record], side: str, left_out: Collection[str]
) -> dict[str, int]:
    """Return the targets of the records that a file names, by themselves or by their identity."""
    by_name, by_pid = _read(path), dict[int, int]()
    names, own = {r.image_id for r in records}, {r.pid for r in records}
    for name in by_name.keys() - names - set(left_out):
        if not _PID.fullmatch(name) or int(name) not in own:
            what = "identity" if _PID.fullmatch(name) else "image"
            raise ConfigError(
                f"adv.attack.target_map names the {what} '{printable(name)}', of which there is no "
                f"{side} image{'' if what == 'identity' else suggest(name, names)}"
            )
        if int(name) in by_pid:
            raise ConfigError(f"adv.attack.target_map gives identity {int(name)} two targets")
        by_pid[int(name)] = by_name[name]
    targets = {}
    for record in records:
        target = by_name.get(record.image_id, by_pid.get(record.pid))
        if target == record.pid:
            raise ConfigError(
                f"adv.attack.target_map pulls '{record.image_id}' to identity {target}, which is "
                "its own; name another identity, or leave the image out"
            )
        if target is not None:
            targets[record.image_id] = target
    return targets


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
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_pairs)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
        return {key: _pid(key, value) for key, value in content.items()}
    except ConfigError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"adv.attack.target_map is 'random', a pid, or a JSON file of image_id or pid -> pid; "
            f"'{path}' cannot be read: {error}"
        ) from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; one that names a key twice says two things."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{printable(twice)}' is in it twice")
    return content


def _pid(key: str, value: Any) -> int:
    if type(value) is int or (isinstance(value, str) and _PID.fullmatch(value)):
        return int(value)
    raise ValueError(f"the target of '{printable(key)}' is {value!r}, and a pid is a whole number")
