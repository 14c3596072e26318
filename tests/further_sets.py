"""Small data sets in the layouts of DukeMTMC-reID, MSMT17 and PersonX, drawn by the tests."""

from markets import person

FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
PEOPLE, CAMERAS = 4, 2


def draw(path, pid, camid, index):
    path.parent.mkdir(parents=True, exist_ok=True)
    person(pid, camid, index, 32, 16).save(path)


def write_folders(base, name):
    """Write training, query and gallery folders, whose files ``name(pid, camid, index)`` names."""
    for folder, first, indices in zip(FOLDERS, (0, 100, 100), ((0, 1), (2,), (3, 4)), strict=True):
        for pid in range(first + 1, first + 1 + PEOPLE):
            for camid in range(CAMERAS):
                for index in indices:
                    draw(base / folder / name(pid, camid, index), pid, camid, index)


def write_duke(root):
    """Write a small DukeMTMC-reID below a data root."""
    base = root / "dukemtmc-reid" / "DukeMTMC-reID"
    write_folders(base, lambda pid, camid, index: f"{pid:04d}_c{camid + 1}_f{index:07d}.jpg")


def write_personx(root):
    """Write three scenes of a small PersonX below a data root."""
    for scene in "456":
        base = root / "personx" / "PersonX_v1" / scene
        write_folders(base, lambda pid, camid, index: f"{pid:04d}_c{camid + 1}s1_{index}.jpg")


def write_msmt17(root):
    """Write a small MSMT17_V1 below a data root."""
    base = root / "msmt17" / "MSMT17_V1"
    sides = {"train": ("train", (0, 1)), "val": ("train", (2,))}
    sides |= {"query": ("test", (3,)), "gallery": ("test", (4, 5))}
    for listed, (folder, indices) in sides.items():
        lines = []
        for pid in range(PEOPLE):
            for camid in range(CAMERAS):
                for index in indices:
                    name = f"{pid:04d}/{pid:04d}_{index:03d}_{camid + 1:02d}_0303morning_0.jpg"
                    draw(base / folder / name, pid, camid, index)
                    lines.append(f"{name} {pid}")
        (base / f"list_{listed}.txt").write_text("\n".join(lines) + "\n")
