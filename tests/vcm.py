"""A small HITSZ-VCM, drawn by the tests."""

import numpy as np
from PIL import Image


def write_vcm(root, *, train=4, test=3, cameras=2, frames=12, tracks=1, plain=False):
    """Write tracklets of people by cameras, infrared and visible, and return the data root.

    Args:
        plain: identities and lists lie in the folder itself, as in its authors' repository.
    """
    base = root / "HITSZ-VCM"
    info = base if plain else base / "info"
    info.mkdir(parents=True)
    people = {"train": range(1, train + 1), "test": range(501, 501 + test)}
    for split, pids in people.items():
        names, rows, queries = [], [], []
        for pid in pids:
            for modality in (1, 2):
                for camera in range(1, cameras + 1):
                    for track in range(1, tracks + 1):
                        first = len(names) + 1
                        below = base if plain else base / split.title()
                        folder = below / f"{pid:04d}" / ("ir", "rgb")[modality - 1] / f"D{camera}"
                        folder.mkdir(parents=True, exist_ok=True)
                        for frame in range((track - 1) * frames + 1, track * frames + 1):
                            draw(pid, modality, frame).save(folder / f"{frame}.jpg")
                            names.append(f"{pid:04d}M{modality}D{camera}T{track}F{frame}.jpg")
                        rows.append(f"{modality} {first} {len(names)} {pid} {camera}")
                        if modality == 1:
                            queries.append(str(len(rows)))
        (info / f"{split}_name.txt").write_text("\n".join(names) + "\n")
        (info / f"track_{split}_info.txt").write_text("\n".join(rows) + "\n")
        if split == "test":
            (info / "query_IDX.txt").write_text(" ".join(queries) + "\n")
    return root


def draw(pid, modality, frame, height=32, width=16):
    """A frame whose brightness is its number, so that a test can tell which one it has."""
    generator = np.random.default_rng(pid)
    image = np.full((height, width, 3), frame * 8, np.uint8)
    image[: height // 2] = generator.integers(0, 256, 3)
    if modality == 1:
        image = image.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    return Image.fromarray(image)
