"""Small data sets in the public layouts of all registered ones, with what is in them as truth.

A maker writes files below a root and lists them as rows: side, files relative to the root, identity
and camera. Nothing here reads a tree; tests that change one change its rows as well.
"""

import dataclasses
import io
import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.io import savemat

from torchreid_adv.core.manifest import Entry, Manifest
from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.data.virtual.folder import VirtualOptions, WalkOptions

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP"}


def content(suffix, name=""):
    """Return the bytes of a small image in the format of a suffix, others for another name."""
    buffer = io.BytesIO()
    seed = zlib.crc32(str(name).encode("utf-8", "surrogateescape"))
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, FORMATS.get(suffix, "TIFF"))
    return buffer.getvalue()


class Row(NamedTuple):
    """What a data set says of an image or tracklet."""

    side: str
    files: tuple[str, ...]
    pid: object
    camid: object


@dataclasses.dataclass
class Tree:
    """A data set on disk.

    Args:
        name: registered name.
        root: data root.
        home: its folder, relative to the root.
        rows: what is in it; training identities as the files name them.
        lists: text files that say what is in it, relative to the root.
        folders: whether a file in its folder is in the set, though no list names it.
        drawn: sides are drawn; rows say what could be on any.
        cameras: whether camid is the reader's number; else it tells cameras apart only.
        named: (pid, camera from 1) -> name of one more gallery image.
        more: one more image and the rows that it makes; None = an error, or the default.
        any_name: a folder tells whose images it holds, whatever their names.
        sealed: another suffix, or a link out of the folder, is another file.
        rooted: whether the set is looked for below the root, and not made there.
        unlisted: whether images that no list names are warned of.
        options: of the reader.
        entry: data root -> name that the set is read by; None = its registered name.
    """

    name: str
    root: Path
    home: str = ""
    rows: list[Row] = dataclasses.field(default_factory=list)
    lists: list[str] = dataclasses.field(default_factory=list)
    folders: bool = True
    drawn: bool = False
    cameras: bool = True
    named: object = None
    more: tuple = ()
    any_name: bool = False
    sealed: bool = False
    rooted: bool = True
    unlisted: bool = True
    options: dict = dataclasses.field(default_factory=dict)
    entry: object = None

    def put(self, side, files, pid, camid):
        """Write the files of a row."""
        files = (files,) if isinstance(files, str) else tuple(files)
        files = tuple(f"{self.home}/{file}" if self.home else file for file in files)
        for file in files:
            self.write(file)
        if side:
            self.rows.append(Row(side, files, pid, camid))
        return files

    def write(self, file, data=None):
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(path.suffix.lower(), file) if data is None else data)

    def text(self, file, lines):
        """Write a list."""
        file = f"{self.home}/{file}"
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_bytes(("\n".join(lines) + "\n").encode())
        self.lists.append(file)

    def matlab(self, file, **values):
        path = self.root / self.home / file
        path.parent.mkdir(parents=True, exist_ok=True)
        savemat(path, values)

    def json(self, file, value):
        path = self.root / self.home / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))

    def files(self):
        """Return all image files of the rows, each once."""
        return sorted({file for row in self.rows for file in row.files})


THREE = (("train", "bounding_box_train"), ("query", "query"), ("gallery", "bounding_box_test"))


def three_folders(tree, name, first_pid=0):
    """Two training identities, two of the test, two cameras; distractor 0 in the gallery."""
    for side, folder in THREE:
        for pid in (3, 9) if side == "train" else (20, 21):
            for camera in (1, 2) if side != "query" else (1,):
                file = f"{folder}/{name(pid, camera, 5 if side == 'query' else 6)}"
                tree.put(side, file, pid, camera - 1)
    tree.put("gallery", f"bounding_box_test/{name(first_pid, 2, 7)}", first_pid, 1)
    tree.named = lambda pid, camera: f"bounding_box_test/{name(pid, camera, 8)}"
    return tree


def market(root):
    tree = Tree("market1501", root, "market1501/Market-1501-v15.09.15")
    three_folders(tree, lambda p, c, n: f"{p:04d}_c{c}s{n}_00{n}151_0{n}.jpg")
    tree.put("", "bounding_box_test/-1_c3s1_000401_03.jpg", -1, 2)
    return tree


def duke(root):
    tree = Tree("dukemtmcreid", root, "dukemtmc-reid/DukeMTMC-reID")
    return three_folders(tree, lambda p, c, n: f"{p:04d}_c{c}_f000{n}951.jpg", 50)


def cuhk02(root):
    tree = Tree("cuhk02", root, "cuhk02/Dataset")
    for place, pair in enumerate(("P1", "P2", "P3", "P4", "P5")):
        for pid in (4, 7):
            for cam in (0, 1):
                side = "train" if pair != "P5" else ("query", "gallery")[cam]
                pid_of = pid if pair == "P5" else (place, pid)
                tree.put(side, f"{pair}/cam{cam + 1}/{pid:04d}_{pid}.png", pid_of, 2 * place + cam)
    return tree


def cuhksysu(root):
    tree = Tree("cuhksysu", root, "cuhksysu")
    for pid in (5, 11):
        for scene in (1, 2):
            tree.put("train", f"cropped_images/p{pid}_s{scene}_1.jpg", f"p{pid}", 0)
    return tree


def sensereid(root):
    tree = Tree("sensereid", root, "sensereid/SenseReID")
    for label, pid in enumerate((12, 30)):
        for side, folder in (("query", "test_probe"), ("gallery", "test_gallery")):
            file = f"{folder}/{pid:05d}_{side == 'gallery':d}.jpg"
            files = tree.put(side, file, label, int(side == "gallery"))
            tree.rows.append(Row("train", files, pid, int(side == "gallery")))
    tree.more = ("test_gallery/00030_12.jpg", [("gallery", 1, 12), ("train", 30, 12)])
    return tree


def university(root):
    tree = Tree("university1652", root, "university1652/University-Release", cameras=False)
    for pid in (839, 1001):
        for view in ("drone", "street"):
            tree.put("train", f"train/{view}/{pid:04d}/image-01.jpeg", pid, f"train {view} {pid}")
        tree.put("query", f"test/query_drone/{pid:04d}/image-01.jpeg", pid, f"query {pid}")
        tree.put("gallery", f"test/gallery_satellite/{pid:04d}/{pid:04d}.jpg", pid, f"sat {pid}")
    tree.more = ("test/gallery_satellite/1001/x.webp", [("gallery", 1001, "sat x")])
    tree.any_name = True
    return tree


def viper(root, people=5):
    tree = Tree("viper", root, "viper/VIPeR", drawn=True)
    for pid in range(people):
        tree.put("gallery", f"cam_a/{pid:03d}_{45 * (pid % 3)}.bmp", pid, 0)
        tree.put("gallery", f"cam_b/{pid:03d}_{90 * (pid % 3)}.bmp", pid, 1)
    tree.more = ("cam_b/900_45.bmp", None)
    return tree


def cuhk01(root, people=5):
    tree = Tree("cuhk01", root, "cuhk01", drawn=True)
    for pid in range(1, people + 1):
        for number in (1, 2, 3, 4):
            tree.put("gallery", f"campus/{pid:04d}{number:03d}.png", pid, (number - 1) // 2)
    tree.more = ("campus/0002005.png", [("gallery", 2, 2)])
    return tree


def ilids(root, people=6, images=18):
    tree = Tree("ilids", root, "ilids/i-LIDS_Pedestrian", drawn=True)
    for number in range(images):
        pid = number % people + 1
        file = f"Persons/{pid:04d}{number // people + 1:03d}.jpg"
        tree.put("gallery", file, pid, number // people)
    tree.more = ("Persons/0002008.jpg", [("gallery", 2, 7)])
    return tree


def prid(root):
    tree = Tree("prid", root, "prid2011/prid_2011/single_shot", drawn=True)
    for cam, (side, last) in enumerate((("cam_a", 385), ("cam_b", 749))):
        for pid in range(1, last + 1):
            in_set = pid <= 200 or cam
            tree.put("gallery" if in_set else "", f"{side}/person_{pid:04d}.png", pid, cam)
    tree.more = ("cam_b/person_0750.png", None)
    return tree


def grid(root, people=4):
    tree = Tree("grid", root, "grid/underground_reid")
    splits = np.empty((1, 10), dtype=object)
    for split in range(10):
        trained = [(pid + split) % people + 1 for pid in range(people // 2)]
        part = {"a": 1, "b": 2, "c": np.array([sorted(trained)])}
        splits[0, split] = part
    tree.matlab("features_and_partitions.mat", trainIdxAll=splits)
    for pid in range(1, people + 1):
        for side in ("probe", "gallery"):
            camera = 1 + pid % 3 + 4 * (side == "gallery")
            kind = "train" if pid <= people // 2 else "query" if side == "probe" else "gallery"
            tree.put(kind, f"{side}/{pid:04d}_{camera}_25008_169_19.jpeg", pid, camera - 1)
    tree.put("gallery", "gallery/0000_3_1_2_3.jpeg", 0, 2)
    tree.named = lambda pid, camera: f"gallery/{pid:04d}_{camera}_9_9_9.jpeg"
    return tree


def msmt17(root):
    tree = Tree("msmt17", root, "msmt17/MSMT17_V1", folders=False)
    sides = {
        "train": ("train", 1),
        "val": ("train", 2),
        "query": ("test", 3),
        "gallery": ("test", 14),
    }
    for listed, (folder, camera) in sides.items():
        lines = []
        for pid in (2, 7):
            name = f"{pid:04d}/{pid:04d}_00{pid}_{camera:02d}_0303morning_0008_{camera}.jpg"
            side = "" if listed == "val" else listed
            tree.put(side, f"{folder}/{name}", pid, camera - 1)
            lines.append(f"{name} {pid}")
        tree.text(f"list_{listed}.txt", lines)
    return tree


def cuhk03(root):
    """CUHK03 as torchreid has extracted it, below another root."""
    tree = Tree("cuhk03", root, "cuhk03", folders=False)
    split = {"train": [], "query": [], "gallery": []}
    for side, rows in split.items():
        for pid in (1, 2):
            for cam in (0, 1):
                person = pid + (0 if side == "train" else 10)
                number = {"train": 1, "query": 2, "gallery": 3}[side]
                name = f"1_{person:03d}_{cam + 1}_{number:02d}.png"
                label = pid - 1 if side == "train" else person
                tree.put(side, f"images_detected/{name}", label, cam)
                rows.append([f"/elsewhere/cuhk03/images_detected/{name}", label, cam])
    for name in ("splits_new_detected.json",):
        tree.json(name, [split])
    return tree


def personx(root):
    tree = Tree("personx_456", root, "personx/PersonX_v1", cameras=False)
    for scene in "456":
        part = Tree("", root, f"{tree.home}/{scene}")
        three_folders(part, lambda p, c, n: f"{p:04d}_c{c}s{n}_{n}.jpg")
        tree.rows += [row._replace(camid=(scene, row.camid)) for row in part.rows]
    return tree


def randperson(root):
    tree = Tree("randperson", root, "randperson/randperson_subset", cameras=False)
    for pid in (7, 9):
        for scene, camera in ((0, 1), (4, 0)):
            name = f"{pid:06d}_s{scene:02d}_c{camera:02d}_f000123.jpg"
            tree.put("train", name, pid, (scene, camera))
    return tree


def unrealperson(root):
    tree = Tree("unrealperson", root, "unrealperson", cameras=False)
    for version in (1, 2):
        for world in (1, 3):
            name = f"unreal_v{world}.{version}/images/5_c00{world}_7.jpg"
            tree.put("train", name, (version, 5), (world, world))
    return tree


def unrealperson_list(root):
    tree = Tree("unrealperson", root, "unrealperson", folders=False, cameras=False)
    tree.unlisted = False  # the list of the full release leaves most images out
    lines = []
    for pid in (40, 9):
        for camera in (3, 11):
            name = f"unreal_v1.1/images/{pid}_c0{camera:02d}_1.jpg"
            tree.put("train", name, pid, camera)
            lines.append(f"{name} {pid} {camera}")
    tree.text("list_unreal_train.txt", lines)
    return tree


def deepchange(root):
    tree = Tree("deepchange", root, "DeepChangeDataset", folders=False, cameras=False)
    splits = {
        "train-set": ("train", ["P9_C1_1_0.jpg,51", "P9_C2_2_0.jpg,77", "P4_C1_1_0.jpg,52"]),
        "test-set-query": ("query", ["P30_C1_1_0.jpg,800"]),
        "test-set-gallery": ("gallery", ["P30_C1_2_0.jpg,900", "P31_C3_1_0.jpg,901"]),
    }
    for split, (side, lines) in splits.items():
        for line in lines:
            name, tracklet = line.split(",")
            camid = int(tracklet)
            tree.put(side, f"{split}/{name}", int(name[1:].split("_")[0]), camid)
        tree.text(f"{split}-bbox.txt", lines)
    return tree


def sysu(root):
    tree = Tree("sysu_mm01", root, "SYSU-MM01", any_name=True)
    tree.text("exp/train_id.txt", ["1,2"])
    tree.text("exp/val_id.txt", ["3"])
    tree.text("exp/test_id.txt", ["6,5"])
    for pid in (1, 2, 3, 5, 6):
        for camera in range(1, 7):
            side = "train" if pid < 5 else "query" if camera in (3, 6) else "gallery"
            tree.put(side, f"cam{camera}/{pid:04d}/0001.jpg", pid, camera - 1)
    return tree


def modalities(tree, split, names, people, suffix, sides):
    """Images of two modalities, and lists with lines 'path label'."""
    for modality, (folder, listed) in enumerate(names):
        lines = []
        for pid in people:
            for number in (1, 2):
                path = f"{folder}/{pid}/{split}_{number}{suffix}"
                tree.put(sides[modality], path, pid, modality)
                lines.append(f"{path} {pid}")
        tree.text(f"idx/{listed}.txt", lines)


def regdb(root):
    tree = Tree("regdb_v2i", root, "RegDB", folders=False)
    for split, people in (("train", (0, 4)), ("test", (0, 1))):
        names = [("Visible", f"{split}_visible_1"), ("Thermal", f"{split}_thermal_1")]
        sides = ("train", "train") if split == "train" else ("query", "gallery")
        modalities(tree, split, names, people, ".bmp", sides)
    return tree


def llcm(root):
    tree = Tree("llcm_v2i", root, "LLCM", any_name=True)
    names = [("vis", "train_vis"), ("nir", "train_nir")]
    modalities(tree, "train", names, (3, 8), ".jpg", ("train", "train"))
    tree.text("idx/test_id.txt", ["11, 12"])
    for pid in (11, 12):
        for side, folder in (("query", "test_vis"), ("gallery", "test_nir")):
            for camera in (1, 9):
                tree.put(side, f"{folder}/cam{camera}/{pid:04d}/1.jpg", pid, camera - 1)
    return tree


def other_way(make, name):
    """Return a maker of the same set with query and gallery swapped."""

    def swapped(root):
        tree, sides = make(root), {"query": "gallery", "gallery": "query", "train": "train"}
        tree.rows = [row._replace(side=sides[row.side]) for row in tree.rows]
        tree.name = name
        return tree

    return swapped


def sysu_indoor(root):
    tree = sysu(root)
    tree.name = "sysu_mm01_indoor"
    tree.rows = [r for r in tree.rows if r.side != "gallery" or r.camid in (0, 1)]
    return tree


def vcm(root, first=501):
    tree = Tree("vcm_v2i", root, "HITSZ-VCM", folders=False, options={"min_length": 2})
    for split, pids in (("train", (1, 2)), ("test", (first, first + 1))):
        names, tracks, queries = [], [], []
        for pid in pids:
            for modality, spectrum in ((1, "ir"), (2, "rgb")):
                side = "train" if split == "train" else ("gallery", "query")[modality - 1]
                start = len(names) + 1
                place = f"{split.title()}/{pid:04d}/{spectrum}/D2"
                tree.put(side, [f"{place}/{frame}.jpg" for frame in (1, 2)], pid, 1)
                names += [f"{pid:04d}M{modality}D2T1F{frame}.jpg" for frame in (1, 2)]
                tracks.append(f"{modality} {start} {len(names)} {pid} 2")
                queries += [str(len(tracks))] if modality == 1 else []
        tree.text(f"info/{split}_name.txt", names)
        tree.text(f"info/track_{split}_info.txt", tracks)
    tree.text("info/query_IDX.txt", [" ".join(queries)])
    return tree


def bupt(root):
    tree = Tree("bupt_campus_v2i", root, "BUPTCampus", folders=False)
    paths, lists = {}, {"train": [], "query": [], "gallery": []}
    for pid, listed, camera in (
        (1, "train", "LS3"),
        (2, "train", "G25"),
        (11, "", ""),
        (12, "", ""),
    ):
        for spectrum in ("RGB", "IR"):
            side = listed or ("query" if spectrum == "RGB" else "gallery")
            where = camera or ("G25" if spectrum == "RGB" else "LS3")
            frames = [
                f"{pid}/{spectrum}/{where}/{pid}_{spectrum}_{where}_1_{n}.jpg" for n in (0, 1)
            ]
            tree.put(side, [f"DATA/{frame}" for frame in frames], pid, ("LS3", "G25").index(where))
            paths.setdefault(str(pid), {}).setdefault(spectrum, {})[where] = {"1": frames}
            if not listed:
                lists[side].append(f"{pid} {spectrum} {where} 1")
        lists["train"] += [f"{pid} RGB/IR {camera} 1"] if listed else []
    for name, lines in lists.items():
        tree.text(f"{name}.txt", lines)
    tree.json("data_paths.json", paths)
    return tree


def bupt_i2v(root):
    """The lists of the other direction: queries are infrared."""
    tree = other_way(bupt, "bupt_campus_i2v")(root)
    queries, gallery = (root / tree.home / f"{name}.txt" for name in ("query", "gallery"))
    swapped = gallery.read_bytes(), queries.read_bytes()
    queries.write_bytes(swapped[0])
    gallery.write_bytes(swapped[1])
    return tree


def mars(root):
    tree = Tree("mars", root, "mars", folders=False)
    sides = {"train": [], "test": []}
    plan = [("train", 4, 1), ("train", 4, 2), ("train", 8, 6)]
    plan += [
        ("query", 21, 1),
        ("query", 22, 4),
        ("gallery", 22, 1),
        ("gallery", 21, 2),
        ("gallery", 0, 3),
        ("gallery", -1, 3),
    ]
    queries = []
    names = {"train": [], "test": []}
    for side, pid, camera in plan:
        split = "train" if side == "train" else "test"
        person = "00-1" if pid < 0 else f"{pid:04d}"
        frames = [f"{person}C{camera}T0001F{frame:03d}.jpg" for frame in (1, 2)]
        place = f"bbox_{split}/{person}"
        tree.put(side if pid >= 0 else "", [f"{place}/{f}" for f in frames], pid, camera - 1)
        first = len(names[split]) + 1
        names[split] += frames
        sides[split].append([first, len(names[split]), pid, camera])
        queries += [len(sides["test"])] if side == "query" else []
    for split, rows in sides.items():
        tree.text(f"info/{split}_name.txt", names[split])
        table = {f"track_{split}_info": np.array(rows, np.int32)}
        tree.matlab(f"info/tracks_{split}_info.mat", **table)
    tree.matlab("info/query_IDX.mat", query_IDX=np.array([queries], np.int32))
    return tree


def two_cameras(tree, place, cams, train, test):
    for names, split in ((train, "train"), (test, "test")):
        for label, name in enumerate(names):
            for cam, folder in enumerate(cams):
                side = "train" if split == "train" else ("query", "gallery")[cam]
                frames = [
                    f"{place}/{folder}/{name}/{folder}_{name}_{n:05d}.png" for n in (317, 318)
                ]
                tree.put(side, frames, label, cam)


def ilidsvid(root, people=4):
    tree = Tree("ilidsvid", root, "ilids-vid", any_name=True)
    names = [f"person{number:03d}" for number in range(1, people + 1)]
    rows = [np.roll(np.arange(1, people + 1), split) for split in range(10)]
    path = "train-test people splits/train_test_splits_ilidsvid.mat"
    tree.matlab(path, ls_set=np.array(rows, np.uint16))
    cams = ("cam1", "cam2")
    half = people // 2
    two_cameras(tree, "i-LIDS-VID/sequences", cams, names[half:], names[:half])
    return tree


def prid2011(root):
    tree = Tree("prid2011", root, "prid2011", any_name=True)
    train, test = ["person_0001", "person_0005"], ["person_0002", "person_0009"]
    two_cameras(tree, "prid_2011/multi_shot", ("cam_a", "cam_b"), train, test)
    tree.json("splits_prid2011.json", [{"train": train, "test": test}] * 10)
    return tree


def dukevid(root, first=1):
    tree = Tree("dukemtmcvidreid", root, "dukemtmc-vidreid/DukeMTMC-VideoReID")
    for side, pids in (("train", (3, 14)), ("query", (21, 22)), ("gallery", (21, 22))):
        for pid in pids:
            camera = 7 if side == "query" else 2
            frames = [
                f"{side}/{pid:04d}/0{camera}01/{pid:04d}_C{camera}_F{n:04d}_X{7000 + n}.jpg"
                for n in range(first, first + 3)
            ]
            tree.put(side, frames, pid, camera - 1)
    return tree


def adversarial(root, name="adversarial"):
    """A folder that a command wrote, with its manifest."""
    tree = Tree(name, root, "log/market1501/adversarial", folders=False)
    tree.sealed, tree.rooted = True, False
    entries, count = [], 1 if name == "adversarial" else 2
    for side, pid, camid in _STORED:
        frames = [f"{side}/{pid:04d}_c{camid + 1}_{n}.png" for n in range(count)]
        tree.put(side, frames, pid, camid)
        for number, frame in enumerate(frames):
            track = {"tracklet": f"{side}/{pid}", "frame": number} if len(frames) > 1 else {}
            entries.append(
                Entry(
                    image_id=frame, source=frame, source_sha256="0" * 64, source_mode="RGB",
                    output=frame, size=(8, 4), side=side, pid=pid, camid=camid, attacked=True,
                    linf=0, changed=False, sha256="0" * 64, **track,
                )
            )  # fmt: skip
    Manifest({"protocol": ""}, tuple(entries)).write(root / tree.home)
    tree.options["folder"] = lambda top: top / tree.home
    return tree


def virtual(name):
    """Return a maker of rendered people: those of one small set are copied."""

    def make(root):
        if name not in _RENDERED:
            _RENDERED[name] = Path(tempfile.mkdtemp(prefix="rendered"))
            load_dataset(name, _RENDERED[name], options=VirtualOptions(distractors=0, **_FEW))
        shutil.copytree(_RENDERED[name], root, dirs_exist_ok=True)
        home = next(p.name for p in root.iterdir())
        given = {"options": VirtualOptions(distractors=0, **_FEW)}
        tree = Tree(name, root, home, options=given, rooted=False)
        for side, folder in THREE:
            for file in sorted(os.listdir(root / home / folder)):
                pid, camera = file.split("_")[:2]
                row = Row(side, (f"{home}/{folder}/{file}",), int(pid), int(camera[1]) - 1)
                tree.rows.append(row)
        tree.more = ("bounding_box_test/0007_c1s1_000001_00.jpg", None)
        return tree

    return make


def virtual_walks(name):
    """Return a maker of rendered tracklets, in HITSZ-VCM's layout."""

    def make(root):
        options = WalkOptions(frames=2, height=64, width=32, **_FEW)
        if "walks" not in _RENDERED:
            _RENDERED["walks"] = Path(tempfile.mkdtemp(prefix="rendered"))
            load_dataset(name, _RENDERED["walks"], options=options, min_length=2)
        shutil.copytree(_RENDERED["walks"], root, dirs_exist_ok=True)
        home = next(p.name for p in root.iterdir())
        given = {"options": options, "min_length": 2}
        tree = Tree(name, root, home, folders=False, options=given)
        tree.lists = [f"{home}/info/{f}" for f in sorted(os.listdir(root / home / "info"))]
        tree.rooted = False
        query, gallery = ("ir", "rgb") if "i2v" in name else ("rgb", "ir")
        sides = {query: "query", gallery: "gallery"}
        for folder in sorted((root / home).glob("T*/*/*/D*")):
            split, pid, spectrum, camera = folder.relative_to(root / home).parts
            files = sorted(str(p.relative_to(root)) for p in folder.iterdir())
            side = "train" if split == "Train" else sides[spectrum]
            tree.rows.append(Row(side, tuple(files), int(pid), int(camera[1:]) - 1))
        return tree

    return make


_RENDERED: dict[str, Path] = {}
_STORED = (("train", 0, 1), ("query", 7, 0), ("gallery", 7, 1), ("gallery", 8, 1))
_FEW = {"train_identities": 1, "test_identities": 1, "cameras_per_identity": 2}

MAKERS = {
    "market1501": market,
    "dukemtmcreid": duke,
    "cuhk01": cuhk01,
    "cuhk02": cuhk02,
    "cuhk03": cuhk03,
    "cuhksysu": cuhksysu,
    "grid": grid,
    "ilids": ilids,
    "msmt17": msmt17,
    "prid": prid,
    "sensereid": sensereid,
    "university1652": university,
    "viper": viper,
    "dukemtmcvidreid": dukevid,
    "ilidsvid": ilidsvid,
    "mars": mars,
    "prid2011": prid2011,
    "personx_456": personx,
    "randperson": randperson,
    "unrealperson": unrealperson,
    "unrealperson with its list": unrealperson_list,
    "deepchange": deepchange,
    "sysu_mm01": sysu,
    "sysu_mm01_indoor": sysu_indoor,
    "regdb_v2i": regdb,
    "regdb_i2v": other_way(regdb, "regdb_i2v"),
    "llcm_v2i": llcm,
    "llcm_i2v": other_way(llcm, "llcm_i2v"),
    "vcm_v2i": vcm,
    "vcm_i2v": other_way(vcm, "vcm_i2v"),
    "bupt_campus_v2i": bupt,
    "bupt_campus_i2v": bupt_i2v,
    "adversarial": adversarial,
    "adversarial_video": lambda root: adversarial(root, "adversarial_video"),
    **{f"virtual_{style}": virtual(f"virtual_{style}") for style in ("a", "b", "c", "c_long")},
    "virtual_vi_i2v": virtual_walks("virtual_vi_i2v"),
    "virtual_vi_v2i": virtual_walks("virtual_vi_v2i"),
}
