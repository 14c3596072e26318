"""Files of weights: their kind, detected from content and never the suffix, and several as one.

A pickle is checked before it is read. Python's dictionaries take quadratic time for keys with the
same hash. Hashes of strings are randomized in each process, but those of large integers can be
computed, so a file of 500 KB can take a minute. Weights contain no large integers.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from torchreid_adv.core.given_files import file_fault
from torchreid_adv.errors import ConfigError, printable

HEAD = 1024  # bytes that identify most kinds of files
LONGEST_HEADER = 100_000_000  # bytes that safetensors allows
UNFOLDS = 16  # largest ratio of unpacked to packed size; torch.save does not compress
WEIGHTS = (".pth", ".pt", ".tar", ".safetensors", ".ckpt", ".bin")

_PICKLE = b"\x80"
_LFS = b"version https://git-lfs"
_ONNX = "an ONNX network, not weights: use the format onnx, as in load_model('onnx', path)"
_SCRIPT = (
    "a TorchScript program, not weights: use the format torchscript, as in "
    "load_model('torchscript', path)"
)
_EXPORTED = (
    "an exported program, not weights: use the format export, as in load_model('export', path)"
)
_STARTS: tuple[tuple[bytes, str], ...] = (
    (_LFS, "a Git LFS pointer, not the weights themselves; run 'git lfs pull' where it is"),
    (b"\x1f\x8b", "a gzip archive; unpack it and give the file inside"),
    (b"BZh", "a bzip2 archive; unpack it and give the file inside"),
    (b"\xfd7zXZ", "an xz archive; unpack it and give the file inside"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it and give the file inside"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it and give the file inside"),
    (b"Rar!", "a RAR archive; unpack it and give the file inside"),
    (b"\x89HDF", "an HDF5 file, as Keras and MATLAB write; give weights that torch.save wrote"),
    (b"\x93NUMPY", "a NumPy array; give weights that torch.save wrote"),
    (b"GGUF", "a GGUF file; give weights that torch.save wrote"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x7fELF", "a program for Linux"),
    (b"MZ", "a program for Windows"),
)


def fault_of(file: BinaryIO, size: int) -> str:
    """Return why an open file cannot be weights, or "".

    An archive of torch.save is read once to verify its checksums (CRC-32), which PyTorch does not
    do. Older files of torch.save and safetensors have no checksums.

    Args:
        file: open for reading; rewound on return.
        size: in bytes.
    """
    file.seek(0)
    head = file.read(HEAD)
    try:
        return _fault(file, head, size)
    finally:
        file.seek(0)


def is_safetensors(head: bytes, size: int) -> bool:
    """Tell whether a file starts like safetensors: the length of a JSON header, then the header."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    return 2 <= _header_length(head) <= size - 8


def _header_length(head: bytes) -> int:
    return int(struct.unpack("<Q", head[:8])[0])


def is_archive(head: bytes) -> bool:
    """Tell whether a file starts like a ZIP archive, which torch.save writes since PyTorch 1.6."""
    return head.startswith(b"PK")


def weights_fault(path: str | Path, endings: Sequence[str] = WEIGHTS) -> str:
    """Return why a path does not name weights, as the end of a sentence; "" if it does.

    A folder with one index of safetensors is read like a file.
    """
    return "" if index_of(Path(path).expanduser()) else file_fault(path, endings)


def _fault(file: BinaryIO, head: bytes, size: int) -> str:
    if not size:
        return "it is empty (0 bytes); was its download or copy interrupted?"
    if is_safetensors(head, size):
        return ""
    if head[8:10] == b'{"' and size - 8 < (length := _header_length(head)) <= LONGEST_HEADER:
        return (
            f"it is an incomplete safetensors file: its header has {length} bytes, and {size - 8} "
            "are in the file; get it again"
        )
    if not any(head):
        return "it begins with zeros; was its download interrupted?"
    description = next((text for start, text in _STARTS if head.startswith(start)), "")
    if description:
        return f"it is {description}"
    if is_archive(head):
        return _archive_fault(file, size)
    if head[257:262] == b"ustar":
        return _tar_fault(file)
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        return f"it is {_ONNX}"
    fault = _text_fault(head)
    file.seek(0)
    return fault or (numbers_fault(file) if head.startswith(_PICKLE) else "")


def _text_fault(head: bytes) -> str:
    """Name a web page or another text; a cut character at the end of the head is allowed."""
    text = head.decode("utf-8", errors="ignore").lstrip("\ufeff \t\r\n")
    if len(text) < 0.9 * len(head.strip()) or any(c < " " and c not in "\t\r\n\f" for c in text):
        return ""
    start = text[:200].lower()
    if start.startswith(("<!doctype", "<html", "<head", "<?xml", "<!--")):
        return (
            "it is a web page, not weights: the link leads to a page about the file; download the "
            "file itself"
        )
    return f"it is a text that begins with '{printable(text[:40].splitlines()[0])}'"


def _tar_fault(file: BinaryIO) -> str:
    """Name a TAR archive, unless an early version of torch.save wrote it."""
    try:
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as archive:
            names = [member.name for _, member in zip(range(8), archive, strict=False)]
    except (tarfile.TarError, OSError, ValueError) as error:
        return f"it is a damaged TAR archive ({error})"
    return "" if "storages" in names else f"it is a TAR archive of {_some(names)}; unpack it"


def _archive_fault(file: BinaryIO, size: int) -> str:
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            kind = _archive_kind(names)
            if kind:
                return f"it is {kind}"
            if len(set(names)) < len(names):
                return "it is a damaged archive: it holds two entries of one name"
            if sum(entry.file_size for entry in archive.infolist()) > UNFOLDS * size:
                return "it unpacks to far more than its size"
            damaged = archive.testzip()
            pickled = next((name for name in names if name.endswith("/data.pkl")), "")
            fault = (
                "" if damaged or not pickled else numbers_fault(io.BytesIO(archive.read(pickled)))
            )
            if fault:
                return fault
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, LookupError) as error:
        return (
            f"it is a damaged or incomplete archive ({printable(str(error))[:120]}); get it again"
        )
    except (
        RuntimeError,
        NotImplementedError,
    ) as error:  # encrypted, or with an unknown compression
        return f"it is an archive that cannot be read ({printable(str(error))[:120]}); get it again"
    if damaged is not None:
        return (
            f"it is damaged: the checksum (CRC-32) of '{printable(damaged)}' in it does not match; "
            "get the file again (or, where it was saved with set_crc32_options(False), save it "
            "with True)"
        )
    return ""


def _archive_kind(names: Sequence[str]) -> str:
    """Name a ZIP archive that torch.save did not write; "" for one of torch.save."""
    inner = {name.partition("/")[2] for name in names}
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return _EXPORTED
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return _SCRIPT
    if "data.pkl" in inner:
        return ""
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays; give weights that torch.save wrote"
    return f"a ZIP archive of {_some(names)}, not one of torch.save; unpack it"


def _some(names: Sequence[str]) -> str:
    return printable(", ".join(f"'{name[:60]}'" for name in names[:3])) or "nothing"


MOST_NUMBERS = 5_000  # of more than _LARGE bits in a pickle
_LARGE = 40  # bits; a larger number takes six bytes or more
SEARCHED = 16 * 2**20  # bytes of an older file that are searched for its pickles
_PICKLES = 5  # written by torch.save before PyTorch 1.6: the fourth is the content
_MAYBE = re.compile(rb"\x8a[\x06-\xff]")  # LONG1 and its length


def numbers_fault(file: BinaryIO) -> str:
    """Return what is wrong with the numbers in consecutive pickles, "" for nothing.

    Args:
        file: open at the start of the first pickle; its position changes.
    """
    start = file.tell()
    # true for nearly all files, in one fast pass
    if len(_MAYBE.findall(file.read(SEARCHED))) <= MOST_NUMBERS:
        return ""
    file.seek(start)
    count = 0
    try:
        for _ in range(_PICKLES):
            for opcode, value, _ in pickletools.genops(file):
                large = opcode.name == "LONG1" and int(value or 0).bit_length() > _LARGE
                count += large
                if count > MOST_NUMBERS:
                    return (
                        f"it holds more than {MOST_NUMBERS:,} whole numbers of over {_LARGE} bits "
                        "besides weights; save its weights alone with "
                        "torch.save(model.state_dict(), path)"
                    )
    except Exception:  # a broken pickle may raise anything; its reader reports what is wrong
        return ""
    return ""


INDEX = ".safetensors.index.json"


def index_of(path: Path) -> Path | None:
    """Return the index at a path or in a folder; None if there is none."""
    if path.name.endswith(INDEX) and path.is_file():
        return path
    indexes = sorted(path.glob(f"*{INDEX}")) if path.is_dir() else []
    return indexes[0] if len(indexes) == 1 else None


def read_shards(index: Path, read: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Return all tensors listed in an index.

    Args:
        index: ``model.safetensors.index.json``, as written by accelerate and transformers.
        read: reads one file.

    Raises:
        ConfigError: the index cannot be read, or lists a file outside its folder, or a tensor that
            its file does not have.
    """
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        places = {str(name): str(file) for name, file in content["weight_map"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"'{index}' is not an index of weights: {printable(str(error))[:120]}"
        ) from error
    away = [file for file in places.values() if Path(file).name != file or file in ("", "..", ".")]
    if away:
        raise ConfigError(
            f"'{index}' names the file '{printable(away[0])[:80]}', which is not in the same folder"
        )
    shards = {file: read(index.parent / file) for file in sorted(set(places.values()))}
    lost = [name for name, file in places.items() if name not in shards[file]]
    if lost:
        raise ConfigError(f"'{index}' names '{printable(lost[0])[:80]}', and its file has none")
    return {name: shards[file][name] for name, file in places.items()}
