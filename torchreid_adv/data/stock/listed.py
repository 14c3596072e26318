"""MSMT17 and CUHK03: lists assign the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchreid_adv.data.listing import Layout, ListedFiles
from torchreid_adv.data.lists import Line, json_of, lines_of, number_of, rows_of
from torchreid_adv.data.public_sets import Item, Sides, from_0, home_of, one_of
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import LAYOUTS

MSMT17 = Layout(
    "msmt17",
    "list_train.txt, list_val.txt, list_query.txt and list_gallery.txt of lines '<path> <pid>', "
    "paths below train and test such as 0000/0000_000_01_0303morning_0008_0.jpg, in which 01 is "
    "the camera",
)
CUHK03 = Layout(
    "cuhk03",
    "cuhk03_release/cuhk-03.mat and cuhk03_new_protocol_config_{detected,labeled}.mat, or what "
    "torchreid has made of them: images_{detected,labeled} and splits_*.json",
)

_MSMT17_FOLDERS = {
    "msmt17/MSMT17_V1": ("train", "test"),
    "msmt17/MSMT17_V2": ("mask_train_v2", "mask_test_v2"),
}


@LAYOUTS.register("msmt17")
def msmt17(root: str, combineall: bool = False, **_: Any) -> Sides:
    """Read MSMT17, either version; the validation list is used with ``combineall``."""
    home = home_of("msmt17", root, _MSMT17_FOLDERS, MSMT17.text)
    folders = [home / name for name in _MSMT17_FOLDERS[f"msmt17/{home.name}"]]
    for folder in folders:
        if not folder.is_dir():
            raise MSMT17.error(f"folder '{folder}' is missing")
    train_files, test_files = (ListedFiles(folder, MSMT17) for folder in folders)
    train, val = (_msmt17_rows(home / f"list_{n}.txt", train_files) for n in ("train", "val"))
    query, gallery = (
        _msmt17_rows(home / f"list_{n}.txt", test_files) for n in ("query", "gallery")
    )
    for files in (train_files, test_files):
        files.warn_of_unlisted()
    return Sides(from_0(train + val if combineall else train), query, gallery)


def _msmt17_rows(path: Path, files: ListedFiles) -> list[Item]:
    return [_msmt17_row(line, files) for line in lines_of(path, MSMT17)]


def _msmt17_row(line: Line, files: ListedFiles) -> Item:
    name, _, pid = line.text.rpartition(" ")
    camera = [*name.rpartition("/")[2].split("_"), "", "", ""][2]
    if not (pid.isascii() and pid.isdecimal() and camera.isascii() and camera.isdecimal()):
        raise MSMT17.error(f"{line.where} is '{line.text[:80]}', not '<path> <pid>'")
    numbers = [number_of(digits, line.where, MSMT17) for digits in (pid, camera)]
    if not numbers[1]:
        raise MSMT17.error(f"{line.where} is of camera 0; cameras start from 1")
    return files.path(name.strip(), line.where), numbers[0], numbers[1] - 1


@LAYOUTS.register("cuhk03")
def cuhk03(
    root: str,
    split_id: int = 0,
    cuhk03_labeled: bool = False,
    cuhk03_classic_split: bool = False,
    **_: Any,
) -> Sides:
    """Read CUHK03 by the new protocol or by one of the 20 classic splits."""
    home = home_of("cuhk03", root, ("cuhk03",), CUHK03.text)
    kind = "labeled" if cuhk03_labeled else "detected"
    protocol = "classic" if cuhk03_classic_split else "new"
    path, images = home / f"splits_{protocol}_{kind}.json", home / f"images_{kind}"
    for needed in (path, images):
        if not needed.exists():
            _extract(home, needed)
    splits = json_of(path, CUHK03)
    if not isinstance(splits, list):
        raise CUHK03.error(f"'{path}' holds no splits; remove it to have it written again")
    split, files = one_of(splits, split_id, "cuhk03"), ListedFiles(images, CUHK03)
    sides = [_cuhk03_rows(split, side, path, files) for side in Sides._fields]
    files.warn_of_unlisted()
    return Sides(from_0(sides[0]), *sides[1:])


def _cuhk03_rows(split: Any, side: str, path: Path, files: ListedFiles) -> list[Item]:
    rows = rows_of(split, side, path, CUHK03)
    # paths start with the root where the file was written
    names = [place.replace("\\", "/").rpartition("/")[2] for place, _, _ in rows]
    return [
        (files.path(name, f"'{path}'"), pid, camid)
        for name, (_, pid, camid) in zip(names, rows, strict=True)
    ]


def _extract(home: Path, target: Path) -> None:
    """Let torchreid make images and splits from the authors' files of CUHK03.

    Raises:
        DataError: a file or a library is missing, the files are broken, or the folder cannot be
            written.
    """
    names = {
        "raw_mat_path": "cuhk03_release/cuhk-03.mat",
        "split_new_det_mat_path": "cuhk03_new_protocol_config_detected.mat",
        "split_new_lab_mat_path": "cuhk03_new_protocol_config_labeled.mat",
        "imgs_detected_dir": "images_detected",
        "imgs_labeled_dir": "images_labeled",
        "split_classic_det_json_path": "splits_classic_detected.json",
        "split_classic_lab_json_path": "splits_classic_labeled.json",
        "split_new_det_json_path": "splits_new_detected.json",
        "split_new_lab_json_path": "splits_new_labeled.json",
    }
    for name in list(names.values())[:3]:
        if not (home / name).is_file():
            raise CUHK03.error(f"'{target}' is missing, and so is '{home / name}' to make it of")
    kind = torchreid_module("data.datasets").CUHK03
    maker = kind.__new__(kind)
    vars(maker).update({key: str(home / name) for key, name in names.items()})
    try:
        maker.preprocess_split()
    except ImportError as error:
        raise CUHK03.error(
            f"'{home / names['raw_mat_path']}' is read with h5py and imageio ({error}); run `pip "
            "install h5py imageio`"
        ) from error
    except Exception as error:  # readers of MATLAB files may raise anything
        reason = str(error) or type(error).__name__
        raise CUHK03.error(
            f"'{home / names['raw_mat_path']}' and the protocol files next to it cannot be made "
            f"into images in '{home}' ({reason}); are they whole, and can the folder be written?"
        ) from error
