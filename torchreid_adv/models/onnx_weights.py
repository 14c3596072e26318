"""External files that hold the weights of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from torchreid_adv.errors import ConfigError, printable

_DEEPEST = 64  # largest depth of nested graphs
_ONE_FILE = "write one file with onnx.save(onnx.load(path), path, save_as_external_data=False)"
# location of tensors: message -> field number -> message of that field, in ONNX's schema
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}


def external_weights(path: Path, content: bytes) -> dict[str, bytes]:
    """Return the content of the external files with the weights of an ONNX file, by name.

    Args:
        path: path of the ONNX file; only files in and below its folder are read.
        content: content of the ONNX file.

    Raises:
        ConfigError: it is not an ONNX file, or an external file is elsewhere or missing.
    """
    try:
        names = list(dict.fromkeys(_locations(memoryview(content), "model", 0)))
    except (ValueError, IndexError) as error:
        raise ConfigError(
            f"'{path}' is not an ONNX file that onnxruntime reads, or is cut off ({error})"
        ) from error
    return {name: _read(path, name) for name in names}


def _read(path: Path, name: str) -> bytes:
    shown = printable(name[:200])
    parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()
    if absolute or ".." in parts or not name or "\0" in name:
        raise ConfigError(
            f"'{path}' keeps weights in '{shown}', which is not below its own folder; {_ONE_FILE}"
        )
    external = path.parent / name
    try:
        inside = external.resolve().is_relative_to(path.parent.resolve())
        if not inside:
            raise ConfigError(
                f"'{path}' keeps weights in '{shown}', a link to elsewhere; {_ONE_FILE}"
            )
        return external.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"'{path}' keeps weights in another file (external_data), '{shown}', which cannot be "
            f"read ({error.strerror}); put it into the same folder, or {_ONE_FILE}"
        ) from error


def _locations(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    """Yield the names of external files that a message of ONNX's schema refers to."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deep")
    if kind == "tensor":
        yield from _of_tensor(message)
        return
    for number, value in _fields(message):
        inner = _FIELDS[kind].get(number)
        if inner and isinstance(value, memoryview):
            yield from _locations(value, inner, depth + 1)


def _of_tensor(message: memoryview) -> Iterator[str]:
    entries, external = [], False
    for number, value in _fields(message):
        if number == 13 and isinstance(value, memoryview):
            entries.append(dict(_fields(value)))
        elif number == 14:
            external = value == 1
    for entry in entries if external else []:
        key, name = (bytes(entry.get(n, b"")) for n in (1, 2))
        if key == b"location":
            yield name.decode("utf-8", errors="surrogateescape")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the fields of a protobuf message: number, and bytes or an integer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        length = {1: 8, 5: 4}.get(wire, -1)
        if wire == 2:
            length, at = _varint(message, at)
        if length < 0 or at + length > len(message):
            raise ValueError("a field of it is longer than the file")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number of it is too long")
