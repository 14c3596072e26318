"""Virtual people walking, visible and infrared, in HITSZ-VCM's layout."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.core.files import write_text
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.data.cross_modality.vcm import VCM
from torchreid_adv.data.virtual.folder import WalkOptions, folder_of, record_of, rendered_once
from torchreid_adv.data.virtual.folder import write_record as write_render_record
from torchreid_adv.data.virtual.plan import lists, plan_walks
from torchreid_adv.data.virtual.render import render_files
from torchreid_adv.data.virtual.styles import style_named

STYLE = "virtual_vi"


class VirtualVI(VCM):
    """Tracklets of virtual people, rendered below the data root if missing.

    Args:
        root: data root.
        direction: ``i2v`` or ``v2i``, see :class:`VCM`.
        options: amount and seed; None = the current config's ``adv.virtual``.
        workers: rendering processes, 0 for none.
        kwargs: see :class:`VCM`.

    Raises:
        ConfigError: options are out of range, or the set cannot be rendered.
        DataError: its tracklets are shorter than ``adv.video.min_length``.
    """

    def __init__(
        self,
        root: str = "",
        *,
        direction: str,
        options: WalkOptions | None = None,
        workers: int = 0,
        **kwargs: Any,
    ) -> None:
        self._options, self._workers = options or configured_walks(), workers
        super().__init__(root, direction=direction, **kwargs)

    def folder(self, root: Path) -> Path:
        """Return the folder of the set; render it if necessary."""
        return render_walks(root, self._options, self._workers)


def configured_walks() -> WalkOptions:
    """Return the options of the current config in ``adv.virtual``.

    Raises:
        ConfigError: a value is out of range.
    """
    virtual = config.current().adv.virtual
    return WalkOptions(**{f.name: virtual[f.name] for f in dataclasses.fields(WalkOptions)})


def render_walks(root: Path, options: WalkOptions, workers: int = 0) -> Path:
    """Render a set of tracklets below ``root``, unless it exists.

    Args:
        root: data root.
        options: amount and seed.
        workers: rendering processes; 0 and 1 render in this process.

    Returns:
        the folder with ``Train``, ``Test`` and ``info``.

    Raises:
        ConfigError: another folder has the name, or the root cannot be written.
    """
    record, folder = record_of(STYLE, options), folder_of(root, STYLE, options)

    def render(work: Path) -> None:
        tracks = plan_walks(style_named(STYLE), options)
        planned = [frame for track in tracks for frame in track.frames]
        for parent in sorted({(work / image.path).parent for image in planned}):
            parent.mkdir(parents=True)
        (work / "info").mkdir()
        with progress_bar(f"rendering {STYLE}", total=len(planned)) as bar:
            for count in render_files(work, STYLE, options.seed, planned, workers):
                bar.update(count)
        for name, content in lists(tracks):
            write_text(work / "info" / name, content)
        write_render_record(work, record, {"frames": len(planned), "tracklets": len(tracks)})

    return rendered_once(folder, record, render)
