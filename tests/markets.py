"""Small data sets in Market-1501's layout, drawn by the tests."""

import numpy as np
from PIL import Image


def person(pid, camid, index, height=64, width=32):
    """A picture that tells its identity by stripes, its camera by a tint."""
    generator = np.random.default_rng([pid, camid, index])
    stripes = np.random.default_rng(pid).integers(0, 256, (4, 1, 3))
    image = np.repeat(np.repeat(stripes, -(-height // 4), axis=0)[:height], width, axis=1)
    noisy = (
        0.6 * image
        + 40 * np.array([camid % 2, 0.5, camid % 3])
        + generator.normal(0, 20, (height, width, 3))
    )
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def write_market(root, *, identities=4, cameras=3, images=2, distractors=3, sizes=((64, 32),)):
    """Write a small data set in Market-1501's layout and return the data root."""
    base = root / "market1501" / "Market-1501-v15.09.15"
    folders = {name: base / name for name in ("bounding_box_train", "query", "bounding_box_test")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    count = 0

    def write(folder, pid, camid, index):
        nonlocal count
        count += 1
        height, width = sizes[count % len(sizes)]
        name = f"{pid:04d}_c{camid + 1}s1_{count:06d}_{index:02d}.jpg"
        person(pid, camid, index, height, width).save(folders[folder] / name, quality=95)

    for pid in range(1, identities + 1):
        for camid in range(cameras):
            for index in range(images):
                write("bounding_box_train", pid, camid, index)
                write("bounding_box_test", 100 + pid, camid, index)
            write("query", 100 + pid, camid, 50)
    for index in range(distractors):
        write("bounding_box_test", 0, index % cameras, index)
    return root
