"""A small BUPTCampus, drawn by the tests."""

import json

from vcm import draw


def write_bupt(root, people=3, frames=4):
    """Training people 1, 2...; test people from 11 on: queries by G25, the gallery by LS3."""
    base, paths = root / "BUPTCampus", {}
    lists = {"train": [], "query": [], "gallery": [], "train_auxiliary": []}
    for pid in (*range(1, people + 1), *range(11, 11 + people)):
        for camera in ("LS3", "G25"):
            for spectrum in ("RGB", "IR"):
                folder = base / "DATA" / str(pid) / spectrum / camera
                folder.mkdir(parents=True)
                names = [f"{pid}_{spectrum}_{camera}_1_{n}.jpg" for n in range(frames)]
                for number, name in enumerate(names):
                    draw(pid, 1 + (spectrum == "RGB"), number).save(folder / name)
                own = [f"{pid}/{spectrum}/{camera}/{name}" for name in names]
                paths.setdefault(str(pid), {}).setdefault(spectrum, {})[camera] = {"1": own}
                if pid > 10:
                    side = "query" if camera == "G25" else "gallery"
                    lists[side].append(f"{pid} {spectrum} {camera} 1")
            if pid < 10:
                lists["train"].append(f"{pid} RGB/IR {camera} 1")
    for name, lines in lists.items():
        (base / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (base / "data_paths.json").write_text(json.dumps(paths))
    return root
