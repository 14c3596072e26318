"""Tables of images: CSV, JSON lines and Parquet, each row with its location for errors."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torchreid_adv.core.files import near_path
from torchreid_adv.data.listing import Layout
from torchreid_adv.data.lists import is_latin, text_of
from torchreid_adv.data.warned import warn
from torchreid_adv.errors import ConfigError, printable, suggest

COLUMNS = (
    *("path", "pid", "camid", "split", "modality", "tracklet", "frame", "view", "clothes"),
    *("box", "x", "y", "w", "h", "protocol"),
)
NEEDED = ("path", "pid", "split")
SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
DELIMITERS = (",", ";", "\t", "|")
_LONGEST = 2**20  # characters of a field
_SEPARATOR = re.compile(r"sep=([,;\t|])", re.IGNORECASE)  # what Excel reads as the first line
_SHOWN = 60


class Row(NamedTuple):
    """A row of a table.

    Args:
        cells: column -> text without surrounding blanks; "" if empty.
        where: line and file, for errors.
    """

    cells: dict[str, str]
    where: str


def layout_of(path: Path) -> Layout:
    """Return the layout of a list of images, for errors."""
    return Layout(
        path.name,
        "one row an image with the columns path, pid, camid, split (train, query or gallery) and, "
        "where there are, modality, tracklet, frame, view, clothes, x, y, w, h (or box), protocol",
    )


def columns_of(path: Path) -> list[str]:
    """Return the columns of a table, without reading its rows.

    Raises:
        ConfigError: the package that reads Parquet is missing.
        DataError: the file is missing or not a table, or its columns are invalid.
    """
    layout = layout_of(path)
    if _suffix(path) == ".parquet":
        names = _parquet(path, layout).schema_arrow.names
        return _checked([str(name) for name in names], path, layout)
    if _suffix(path) == ".jsonl":
        return list(next(_json_rows(path, layout)).cells)
    return next(_csv_columns(path, layout))


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a table; errors as in :func:`columns_of`, and for invalid rows.

    Raises:
        DataError: the error names the line and how to fix it.
    """
    layout = layout_of(path)
    read = {".parquet": _parquet_rows, ".jsonl": _json_rows}.get(_suffix(path), _csv_rows)
    yield from read(path, layout)


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _csv_columns(path: Path, layout: Layout) -> Iterator[list[str]]:
    for number, fields in _csv_lines(path, layout):
        yield _checked(fields, path, layout, f"line {number} of '{path}'")
        return
    raise layout.error(f"the list '{path}' is empty")


def _csv_rows(path: Path, layout: Layout) -> Iterator[Row]:
    lines = _csv_lines(path, layout)
    columns = next(_csv_columns(path, layout))
    next(lines)
    if is_latin(path):
        warn(
            f"the list '{path}' is not in UTF-8 and is read as Latin-1, which spells names wrongly "
            "if it is in neither; save it in UTF-8",
        )
    for number, fields in lines:
        where = f"line {number} of '{path}'"
        if len(fields) != len(columns):
            raise layout.error(
                f"{where} has {len(fields)} fields, and the first line names {len(columns)} "
                "columns; write one field a column, and quotes around a field with a delimiter"
            )
        yield Row(_named(columns, map(str.strip, fields)), where)


def _csv_lines(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of the lines that are not blank."""
    text = text_of(path, layout)
    first = next((line for line in text.splitlines() if line.strip()), "")
    named = _SEPARATOR.fullmatch(first.strip(" "))
    if named:
        text = text.replace(first, "", 1)  # a blank line, so that lines keep their numbers
    delimiter = named[1] if named else max(DELIMITERS, key=first.count)
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise layout.error(
                f"line {number} of '{path}' cannot be read ({error}); are its quotes closed?"
            ) from error
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield number, fields


def _checked(
    names: Sequence[str], path: Path, layout: Layout, where: str = "", *, whole: bool = True
) -> list[str]:
    """Return the columns in lower case; unknown columns are kept, and not read.

    Raises:
        DataError: a column is missing, duplicate, or probably misspelled.
    """
    where = where or f"'{path}'"
    columns = [name.strip().casefold() for name in names]
    for column in columns:
        if columns.count(column) > 1 and column:
            raise layout.error(
                f"{where} names the column '{printable(column[:_SHOWN])}' twice; remove one"
            )
        hint = "" if column in COLUMNS or not column else suggest(column, COLUMNS)
        if "did you mean" in hint:
            raise layout.error(
                f"{where} has a column '{printable(column[:_SHOWN])}', which would not be read"
                f"{hint} Rename it"
            )
    missing = [name for name in NEEDED if name not in columns]
    if missing and whole:
        shown = ", ".join(printable(column[:_SHOWN]) for column in columns[:8])
        raise layout.error(
            f"{where} has no column {', '.join(missing)}, but {shown}; the first line names the "
            "columns"
        )
    return columns


def unread(path: Path, columns: Iterable[str]) -> str:
    """Return a sentence on the columns that are not read, "" if all are."""
    columns = list(columns)
    names = [column for column in columns if column and column not in COLUMNS]
    names += [name for name in ("frame",) if name in columns and "tracklet" not in columns]
    return f"the list '{path}' has columns that are not read: {', '.join(names[:8])}" * bool(names)


def _named(columns: Iterable[str], values: Iterable[str]) -> dict[str, str]:
    return dict(zip(columns, values, strict=True))


def _json_rows(path: Path, layout: Layout) -> Iterator[Row]:
    has_rows, first, unread_names = False, set[str](), dict[str, None]()
    for number, line in enumerate(text_of(path, layout).split("\n"), 1):
        if not line.strip():
            continue
        has_rows, where = True, f"line {number} of '{path}'"
        try:
            value = json.loads(line, object_pairs_hook=_once, parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            raise layout.error(
                f"{where} cannot be read as JSON ({error}); write one object a line"
            ) from error
        if not isinstance(value, dict):
            raise layout.error(f'{where} is not a JSON object; write {{"path": ..., "pid": ...}}')
        columns = _checked(list(value), path, layout, where)
        first = first or set(columns)
        unread_names |= dict.fromkeys(c for c in columns if c not in first)
        yield Row(_cells(columns, value.values(), where, layout), where)
    if not has_rows:
        raise layout.error(f"the list '{path}' is empty")
    warning = unread(path, ["tracklet", *unread_names])
    if warning:  # columns of the first line were warned of before
        warn(warning)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, after checking for duplicate names."""
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"it has '{printable(twice[:_SHOWN])}' twice")
    return dict(pairs)


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not a value; leave it out")


def _cells(
    columns: Iterable[str], values: Iterable[Any], where: str, layout: Layout
) -> dict[str, str]:
    """Return the cells of a row of JSON or Parquet; those that are not read are empty."""
    return {
        column: _text(value, column, where, layout) if column in COLUMNS else ""
        for column, value in zip(columns, values, strict=True)
    }


def _text(value: Any, column: str, where: str, layout: Layout) -> str:
    """Return a value of JSON or Parquet as it would be written in a CSV file."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    numbers = isinstance(value, (list, tuple)) and all(type(v) in (int, float) for v in value)
    if numbers and column == "box":
        return " ".join(map(str, value))
    raise layout.error(
        f"{where}: {column} is {printable(str(value)[:_SHOWN])}; write a text or a number"
    )


def _parquet_rows(path: Path, layout: Layout) -> Iterator[Row]:
    file = _parquet(path, layout)
    names = [str(name) for name in file.schema_arrow.names]
    columns = _checked(names, path, layout)
    read = [name for name, column in zip(names, columns, strict=True) if column in COLUMNS]
    number = 0
    for batch in file.iter_batches(columns=read):
        batch_columns = [name.strip().casefold() for name in batch.schema.names]
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            where = f"row {number} of '{path}'"
            yield Row(_cells(batch_columns, values, where, layout), where)
    if not number:
        raise layout.error(f"the list '{path}' is empty")


def _parquet(path: Path, layout: Layout) -> Any:
    """Open a Parquet file.

    Raises:
        ConfigError: pyarrow is missing.
        DataError: the file is missing, or has another format.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ConfigError(
            f"'{path}' is a Parquet file, which pyarrow reads: pip install pyarrow; or write it as "
            "CSV"
        ) from error
    if not path.is_file():
        raise layout.error(
            f"the list '{path}' cannot be read (it is missing); put it there{near_path(path)}"
        )
    try:
        return ParquetFile(path)
    except (ArrowException, OSError, ValueError) as error:
        raise layout.error(f"'{path}' cannot be read as a Parquet file ({error})") from error
