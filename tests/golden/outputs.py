"""What a command leaves and says, as hashes: those that hold everywhere, those of one machine."""

import hashlib
import json
import re
import struct
from collections import defaultdict

import torch

SHOWN = 6  # parts of an entry that differ
DIGITS = 16  # of a SHA-256 in hex: enough to tell two outputs apart
SKIPPED = (".ledger", ".lock")
WRITTEN = ("out", "data/models")
PARSER = ("help ", "wrong flag")
NOTES = "files.json"  # digests of files that were not too young to be noted
DATED = ("train.log-", "test.log-", "events.out.tfevents.")
CLOCK = ("images_per_second", "seconds", "date", "time", "host", "version", "versions")
CLOCK += ("provenance",)
SPOKEN_BY_CLOCK = re.compile(
    r"\d+(\.\d+)? ?(s|ms|min|h)\b|\btime\b|[Ee]lapsed|\beta\b|/s\b|%\||per second"
)
RATE = re.compile(rb'\d[\d.,]* images per second|<div class="provenance">.*?</div>\n', re.DOTALL)


def digest(content):
    """Return the first digits of the SHA-256 of text or bytes."""
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def printed_alone(codes, printed):
    """Return the hashes of an entry that prints and writes nothing: the same on every machine."""
    return {"everywhere": {"exit codes": str(codes), "printed": digest(printed)}, "here": {}}


def described(place, codes, printed):
    """Return the hashes of a finished entry: ``everywhere`` and ``here``, part -> hash."""
    parts, keys, names = defaultdict(list), defaultdict(set), set()
    for path in sorted(path for folder in WRITTEN for path in (place / folder).rglob("*")):
        name = path.relative_to(place).as_posix()
        if not path.is_file() or _varies(path):
            continue
        names.add(anonymous(name))
        content, found = read(path)
        many = path.suffix in (".png", ".jpg")
        part = anonymous(f"{path.parent.relative_to(place)}/*{path.suffix}" if many else name)
        parts[part].append(f"{anonymous(name)} {digest(content)}")
        keys[part] |= set(found)
    everywhere = {"exit codes": str(codes), "files": _hash(names)}
    everywhere |= {f"keys of {part}": _hash(found) for part, found in keys.items() if found}
    here = {part: _hash(lines) for part, lines in parts.items()}
    return {"everywhere": everywhere, "here": {"printed": digest(spoken(printed)), **here}}


def _hash(lines):
    return digest("\n".join(sorted(lines)))


def compare(found, golden, machine, names):
    """Return a line for each entry that differs; floats count where machine and versions do.

    Args:
        found: name -> hashes of now.
        golden: what was recorded.
        machine: facts of this machine.
        names: entries to look at.
    """
    python = golden["machine"].get("python", "").rpartition(".")[0]
    same = golden["machine"] == machine
    if python != machine["python"].rpartition(".")[0]:  # argparse words and breaks lines anew
        names = [name for name in names if not name.startswith(PARSER)]
    known = golden["entries"]
    lines = [_difference(name, known.get(name), found.get(name), same) for name in names]
    return [line for line in lines if line]


def _difference(name, then, now, same_machine):
    """Return a line for an entry of which something differs, '' where nothing does."""
    if then is None or now is None:
        return f"{name}: {'is new' if then is None else 'is gone'}"
    wrong = []
    for kind in ("everywhere", "here") if same_machine else ("everywhere",):
        parts = sorted({*then[kind], *now[kind]})
        wrong += [part for part in parts if then[kind].get(part) != now[kind].get(part)]
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return f"{name}: {', '.join(wrong[:SHOWN])}{more}" if wrong else ""


def _varies(path):
    return path.suffix in SKIPPED or path.name == NOTES or path.name.startswith(DATED)


def anonymous(name):
    """Return a file's name without digits of hashes, which weights decide."""
    return re.sub(r"[0-9a-f]{12,}", "HASH", name)


def spoken(text):
    """Return what was printed without the lines that a clock has a part in."""
    lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if not SPOKEN_BY_CLOCK.search(line))


def read(path):
    """Return what counts of a file's content, and the keys of JSON (none of other files)."""
    if path.suffix == ".json":
        value = timeless(json.loads(path.read_text(encoding="utf-8")))
        return json.dumps(value, sort_keys=True), sorted(set(keys_of(value)))
    if ".pth" in path.name:
        state = torch.load(path, map_location="cpu", weights_only=False)
        return "\n".join(leaves(state)), ()
    if path.suffix == ".safetensors":
        return _tensor_file(path.read_bytes()), ()
    content = path.read_bytes()
    return RATE.sub(b"", content) if path.suffix == ".html" else content, ()


def timeless(value):
    """Return JSON without what a clock or the machine decides."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in CLOCK}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def keys_of(value, path=""):
    """Yield the path of every key, all items of a list as one."""
    items = value.items() if isinstance(value, dict) else ()
    items = (("[]", item) for item in value) if isinstance(value, list) else items
    for key, item in items:
        yield f"{path}/{key}"
        yield from keys_of(item, f"{path}/{key}")


def leaves(value, path=""):
    """Yield a line for each tensor and each plain value of a checkpoint."""
    if isinstance(value, torch.Tensor):
        content = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        yield f"{path} {value.dtype} {tuple(value.shape)} {digest(content)}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}/{number}")
    else:
        yield f"{path} {value if isinstance(value, int | float | str) else type(value).__name__}"


def _tensor_file(content):
    """Return the header, without dates, and the bytes of the tensors."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    notes = {key: _parsed(text) for key, text in header.pop("__metadata__", {}).items()}
    return json.dumps([header, timeless(notes)], sort_keys=True) + digest(content[8 + size :])


def _parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text
