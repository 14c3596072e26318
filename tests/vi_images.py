"""Small SYSU-MM01, RegDB and LLCM, drawn by the tests."""

import numpy as np
from PIL import Image


def image(path, pid, modality):
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.random.default_rng([pid, modality]).integers(0, 256, 3)
    Image.fromarray(np.full((16, 8, 3), tone, np.uint8)).save(path)


def write_sysu(root):
    base = root / "SYSU-MM01"
    (base / "exp").mkdir(parents=True)
    for name, ids in (("train_id", "1,2"), ("val_id", "3,"), ("test_id", "6,5\n")):
        (base / "exp" / f"{name}.txt").write_text(ids)
    for pid in (1, 2, 3, 5, 6):
        for camera in range(1, 7):
            for number in (1, 2):
                folder = base / f"cam{camera}" / f"{pid:04d}"
                image(folder / f"{number:04d}.jpg", pid, camera in (3, 6))
    return root


def write_lists(base, split, names, people, suffix):
    """Images of two modalities, and lists with lines 'path label'."""
    (base / "idx").mkdir(parents=True, exist_ok=True)
    for modality, (name, listed) in enumerate(names):
        lines = []
        for pid in people:
            for number in (1, 2):
                path = f"{name}/{pid}/{split}_{number}{suffix}"
                image(base / path, pid, modality)
                lines.append(f"{path} {pid}")
        (base / "idx" / f"{listed}.txt").write_text("\n".join(lines) + "\n")


def write_regdb(root, trial=1):
    for split, people in (("train", (0, 1)), ("test", (0, 1, 2))):
        names = [("Visible", f"{split}_visible_{trial}"), ("Thermal", f"{split}_thermal_{trial}")]
        write_lists(root / "RegDB", split, names, people, ".bmp")
    return root


def write_llcm(root):
    base = root / "LLCM"
    write_lists(base, "train", [("vis", "train_vis"), ("nir", "train_nir")], (0, 1, 2), ".jpg")
    (base / "idx" / "test_id.txt").write_text("11, 12")
    for pid in (11, 12):
        for modality, side in enumerate(("test_vis", "test_nir")):
            for camera in (1, 2):
                image(base / side / f"cam{camera}" / f"{pid:04d}" / "1.jpg", pid, modality)
    return root
