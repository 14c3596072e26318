"""Renders a set of virtual people into a data root, once; and draws a contact sheet of one."""

from __future__ import annotations

import contextlib
import errno
import functools
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np

from torchreid_adv.core.files import write_bytes
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.data.virtual.colors import to_levels
from torchreid_adv.data.virtual.folder import (
    VirtualOptions,
    folder_of,
    record_of,
    rendered_once,
    write_record,
)
from torchreid_adv.data.virtual.image import Shot, render_image
from torchreid_adv.data.virtual.plan import GALLERY, QUERY, TRAIN, Planned, plan
from torchreid_adv.data.virtual.styles import style_named
from torchreid_adv.data.virtual.walks import Walk, render_frame
from torchreid_adv.errors import ConfigError

JPEG_QUALITY = 95
_CHUNK = 48  # images per task of a rendering process


def render_dataset(root: Path, style: str, options: VirtualOptions, workers: int = 0) -> Path:
    """Render a set in Market-1501 layout below ``root``, unless it exists.

    Args:
        root: data root.
        style: key of ``styles.STYLES``.
        options: amount and seed.
        workers: rendering processes; 0 and 1 render in this process. More are spawned, so scripts
            that use them need the guard of ``__name__``.

    Returns:
        the folder with ``bounding_box_train``, ``query`` and ``bounding_box_test``. It has the
        style's name for default options, else also a digest of them.

    Raises:
        ConfigError: the style is unknown, another folder has the name, the root cannot be written,
            or rendering processes could not start.
    """
    planned = plan(style_named(style), options)
    record, folder = record_of(style, options), folder_of(root, style, options)

    def render(work: Path) -> None:
        for split in (TRAIN, QUERY, GALLERY):
            (work / split).mkdir()
        with progress_bar(f"rendering {style}", total=len(planned)) as bar:
            for count in render_files(work, style, options.seed, planned, workers):
                bar.update(count)
        counts = Counter(image.path.split("/")[0] for image in planned)
        write_record(work, record, dict(sorted(counts.items())))

    return rendered_once(folder, record, render)


def encode(style: str, seed: int, shot: Shot | Walk) -> bytes:
    """Render one image and return it as a JPEG file."""
    drawn_style = style_named(style)
    if isinstance(shot, Walk):
        image = to_levels(render_frame(drawn_style, seed, shot))
    else:
        image = to_levels(render_image(drawn_style, seed, shot))
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
    return bytes(np.asarray(content).tobytes())


def render_files(
    work: Path, style: str, seed: int, planned: Sequence[Planned], workers: int
) -> Iterator[int]:
    """Write all images into existing folders; yield the number since the last time."""
    chunks = [planned[start : start + _CHUNK] for start in range(0, len(planned), _CHUNK)]
    write = functools.partial(_write, work, style, seed)
    if workers <= 1:
        with _one_thread():
            yield from (write([image]) for image in planned)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        try:
            yield from pool.map(write, chunks)
        except BrokenProcessPool as error:
            raise ConfigError(
                "the rendering processes ended early; guard the script with "
                "`if __name__ == '__main__':`, or render with workers=0"
            ) from error


def _write(work: Path, style: str, seed: int, planned: Sequence[Planned]) -> int:
    for image in planned:
        _put(f"{work}/{image.path}", encode(style, seed, image.shot))
    return len(planned)


def _put(path: str, content: bytes) -> None:
    """Write a new file with three system calls: ``Path.write_bytes`` takes twice as long."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        if os.write(file, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(file)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV on one thread: for images this small threads do not pay off."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


_GAP, _ZOOM = 4, 2


def contact_sheet(style: str, options: VirtualOptions, *, path: Path, identities: int = 8) -> Path:
    """Write a PNG with one row per identity and one column per camera, at twice the size.

    Args:
        style: name of the style, e.g. ``virtual_a``.
        options: seed and image size; the counts are ignored.
        path: path of the PNG.
        identities: number of rows.

    Raises:
        ConfigError: the style is unknown.
    """
    cameras = range(len(style_named(style).cameras))
    rows = [
        np.hstack([_cell(style, options, pid, camid) for camid in cameras])
        for pid in range(1, identities + 1)
    ]
    sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    write_bytes(path, cv2.imencode(".png", sheet)[1].tobytes())
    return path


def _cell(style: str, options: VirtualOptions, pid: int, camid: int) -> np.ndarray:
    shot = Shot(pid, camid, index=pid, height=options.height, width=options.width)
    image = to_levels(render_image(style_named(style), options.seed, shot))
    shown = (_ZOOM * options.width, _ZOOM * options.height)
    image = cv2.resize(image, shown, interpolation=cv2.INTER_CUBIC)
    white = int(np.iinfo(np.uint8).max)
    return np.pad(image, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=white)
