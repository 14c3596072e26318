"""Small data sets of a user's own, as lists, folders and tracking sequences; trees and truth."""

import io

import numpy as np
from PIL import Image
from trees import Tree

COLUMNS = ("path", "pid", "camid", "split")
SIDES = (("train", (3, 9)), ("query", (20, 21)), ("gallery", (20, 21)))


def own_tree(kind, root, home, place="", **facts):
    """Return a tree that is named by its place: ``kind:root/home/place``."""
    tree = Tree(f"{kind} {home}", root, home, rooted=False, **facts)
    path = f"{home}/{place}" if place else home
    tree.entry = lambda top: f"{kind}:{top / path}"
    return tree


def write_rows(tree, file, rows, columns=COLUMNS, delimiter=","):
    """Write a CSV file; rows are tuples in the order of the columns."""
    lines = [delimiter.join(map(str, row)) for row in (columns, *rows)]
    tree.text(file, lines)


def list_tree(root):
    """A list of crops in folders; cameras are numbered from 0 in their order."""
    tree, rows = own_tree("list", root, "shop", "people.csv", folders=False, unlisted=False), []
    for side, people in SIDES:
        for pid in people:
            for camera in (1, 2) if side != "query" else (1,):
                file = f"crops/{side}/p{pid}_{camera}.jpg"
                tree.put(side, file, pid, camera - 1)
                rows.append((file, pid, camera, side))
    write_rows(tree, "people.csv", rows)
    return tree


def tracklet_list_tree(root):
    """A list of frames, in tracklets."""
    tree, rows = own_tree("list", root, "shop", "tracks.csv", folders=False, unlisted=False), []
    for side, people in SIDES:
        for pid in people:
            for camera in (1, 2) if side != "query" else (1,):
                frames = [f"{side}/{pid}/{camera}/{number}.jpg" for number in (1, 2)]
                tree.put(side, frames, pid, camera - 1)
                rows += [(f, pid, camera, side, 1, n) for n, f in enumerate(frames)]
    write_rows(tree, "tracks.csv", rows, (*COLUMNS, "tracklet", "frame"))
    return tree


def folder_tree(root):
    """Three folders, in each one for each identity."""
    tree = own_tree("folder", root, "people")
    for side, people in SIDES:
        for pid in people:
            for camera in (1, 2) if side != "query" else (1,):
                tree.put(side, f"{side}/{pid:03d}/img_c{camera}_7.jpg", pid, camera - 1)
    tree.named = None
    return tree


def flat_folder_tree(root):
    """One folder for each identity and no splits: the first image by name is the query."""
    tree = own_tree("folder", root, "people", drawn=False)
    for pid in (20, 21):
        for camera in (1, 2):
            side = "query" if camera == 1 else "gallery"
            tree.put(side, f"{pid:03d}/img_c{camera}_7.jpg", pid, camera - 1)
    tree.put("gallery", "022/img_c3_7.jpg", 22, 2)  # alone: nobody's match
    tree.cameras = False
    tree.more = ("020/img_c9_9.jpg", [("gallery", 20, 8)])
    return tree


def picture(number, size=(40, 60)):
    """Return a JPEG of noise."""
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_mot(folder, frames=40, people=(1, 2, 3), copies=()):
    """Write a sequence; all people are in all frames, each on a path of their own."""
    for place in (folder, *(folder.with_name(name) for name in copies)):
        (place / "gt").mkdir(parents=True)
        (place / "img1").mkdir()
        lines = []
        for frame in range(1, frames + 1):
            (place / "img1" / f"{frame:06d}.jpg").write_bytes(picture(frame))
            for person in people:
                lines.append(f"{frame},{person},{person * 9 - 8},{frame % 7 + 1},8,16,1,1,0.9")
        lines.append("1,77,1,1,8,16,0,1,1")  # ignored
        lines.append("1,78,1,1,8,16,1,7,1")  # no pedestrian
        lines.append("1,79,1,1,8,16,1,1,0.1")  # hardly visible
        (place / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")


OWN_MAKERS = {
    "own list": list_tree,
    "own list of tracklets": tracklet_list_tree,
    "own folder": folder_tree,
    "own folder without splits": flat_folder_tree,
}
