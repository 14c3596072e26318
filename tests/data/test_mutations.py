"""Every registered data set, changed as people's files are: the right records, or what is wrong.

Each change is made to a small tree in the set's public layout and to the list of what is in it
(``trees.py``). Then the set is loaded. It has exactly the listed records, or an error names the
file, folder or list that is at fault, and no image that is not.
"""

import os
import re
import shutil
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import pytest
from further_trees import FURTHER_MAKERS
from own_sets import OWN_MAKERS
from trees import MAKERS as REGISTERED
from trees import Row, content

from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.data.loading import check_images
from torchreid_adv.errors import AdvError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

MAKERS = {**REGISTERED, **FURTHER_MAKERS, **OWN_MAKERS}
READ, NAMED, EITHER = "read", "named", "either"
COUNTS: Counter = Counter()
SIDES = ("train", "query", "gallery")


class Outcome:
    """What a change has to lead to.

    Args:
        kind: READ, NAMED or EITHER.
        names: of which an error says one.
        warns: part of a warning where the set is read.
    """

    def __init__(self, kind, *names, warns=""):
        self.kind, self.names, self.warns = kind, names, warns


def a_row(tree, side="gallery"):
    """Return a row of the side that is searched, or of training in a set that has no other."""
    return next((r for r in reversed(tree.rows) if r.side == side), tree.rows[-1])


def replaced(tree, old, new):
    """Say that a file has another name."""
    tree.rows = [
        r._replace(files=tuple(new if f == old else f for f in r.files)) for r in tree.rows
    ]


def renamed(suffix):
    def change(tree):
        old = a_row(tree).files[-1]
        new = os.path.splitext(old)[0] + suffix
        (tree.root / old).unlink()
        tree.write(new)
        replaced(tree, old, new)
        sealed = tree.sealed and new != old
        return Outcome(NAMED, os.path.basename(old)) if sealed else Outcome(READ)

    return change


def beside(tree, name, data=None):
    """Write a file into the folder of a gallery image, and return it."""
    file = f"{os.path.dirname(a_row(tree).files[0])}/{name}"
    tree.write(file, data)
    return file


def stray(name, data=None):
    """Return a change that adds an image which the layout has no place for."""

    def change(tree):
        file = beside(tree, name, data)
        if tree.folders and tree.any_name and name.endswith(".jpg") and "/" not in name:
            return into_row(tree, file)
        if tree.folders:
            return Outcome(NAMED, os.path.basename(file))
        return Outcome(READ, warns=file if tree.unlisted else "")

    return change


def into_row(tree, file):
    """Add an image to the rows of its folder."""
    row = a_row(tree)
    if len(row.files) > 1:
        at = tree.rows.index(row)
        tree.rows[at] = row._replace(files=tuple(sorted((*row.files, file))))
    else:
        camid = file if tree.name == "university1652" else row.camid  # which has no cameras
        tree.rows.append(row._replace(files=(file,), camid=camid))
    return Outcome(READ)


def one_more(tree):
    """Add an image that is named as the layout says."""
    if tree.named is not None:
        tree.more = (tree.named(21, 12), [("gallery", 21, 11)])
    if tree.more:
        file = f"{tree.home}/{tree.more[0]}"
        tree.write(file)
        if tree.more[1] is None:
            return Outcome(NAMED, os.path.basename(file), f"{os.path.dirname(file)}'")
        tree.rows += [Row(side, (file,), pid, camid) for side, pid, camid in tree.more[1]]
        return Outcome(EITHER if tree.drawn else READ, os.path.basename(file))
    row = a_row(tree)
    file = next(number for number in numbers(row.files[-1]) if not (tree.root / number).exists())
    tree.write(file)
    if not tree.folders:
        return Outcome(READ, warns=file if tree.unlisted else "")
    return into_row(tree, file)


def numbers(file):
    """Yield a file's name with another last digit."""
    stem, suffix = os.path.splitext(file)
    for digit in "987654":
        yield f"{stem[:-1]}{digit}{suffix}"


def large_numbers(tree):
    """Add an identity and a camera of more digits than the public set has."""
    if tree.named is None:
        return None
    for pid, camera in ((2000, 1), (2000, 25), (31999, 7)):
        file = f"{tree.home}/{tree.named(pid, camera)}"
        tree.write(file)
        tree.rows.append(Row("gallery", (file,), pid, camera - 1))
    return Outcome(READ)


def camera_0(tree):
    if tree.named is None:
        return None
    file = f"{tree.home}/{tree.named(20, 0)}"
    tree.write(file)
    return Outcome(NAMED, file)


def missing_file(tree):
    row = a_row(tree)
    file = row.files[-1]
    (tree.root / file).unlink()
    if not tree.folders:
        return Outcome(NAMED, os.path.basename(file))
    at = tree.rows.index(row)
    tree.rows[at : at + 1] = [row._replace(files=row.files[:-1])] if row.files[1:] else []
    tree.rows = [r for r in tree.rows if file not in r.files]
    folder = os.path.dirname(file)
    partners = [f for r in tree.rows if r.pid == row.pid for f in r.files]
    return Outcome(EITHER, os.path.basename(file), folder, *partners)


def truncated(tree):
    file = a_row(tree).files[-1]
    data = content(Path(file).suffix)
    (tree.root / file).write_bytes(data[: len(data) // 2])
    return Outcome(READ)


def over_lists(change):
    """Return a change of the bytes of all lists of a set."""

    def mutate(tree):
        for name in tree.lists:
            path = tree.root / name
            path.write_bytes(change(path.read_bytes()))
        return Outcome(READ) if tree.lists else None

    return mutate


def blank_lines(data):
    first, rest = data.split(b"\n", 1)
    return b"\n" + first + b"\n\n  \n" + rest + b"\n\n"


def no_last_end(data):
    return data.rstrip(b"\n")


def crlf(data):
    return data.replace(b"\n", b"\r\n")


def recoded(encoding):
    return lambda data: data.decode().encode(encoding)


def bad_line(tree):
    if not tree.lists:
        return None
    path = tree.root / tree.lists[0]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:1], "???", *lines[1:]]) + "\n")
    return Outcome(NAMED, tree.lists[0])


def missing_list(tree):
    if not tree.lists or "unreal" in tree.name:
        return None
    (tree.root / tree.lists[-2 if "vcm" in tree.name else -1]).unlink()
    return Outcome(NAMED, *tree.lists)


def empty_list(tree):
    if not tree.lists:
        return None
    (tree.root / tree.lists[0]).write_bytes(b"\n\n")
    return Outcome(NAMED, tree.lists[0])


def subfolder(tree):
    """Put a folder with an image among images."""
    return stray("more/again.jpg")(tree)


def folder_named_like_image(tree):
    file = f"{os.path.dirname(a_row(tree).files[0])}/more.jpg"
    (tree.root / file).mkdir()
    return Outcome(EITHER, file)


def empty_folder(tree):
    """Put an empty folder and one with a text among images."""
    place = tree.root / os.path.dirname(a_row(tree).files[0])
    (place / "empty").mkdir()
    (place / "notes").mkdir()
    (place / "notes/readme.txt").write_text("0001_c1")
    return Outcome(READ)


def empty_split(tree):
    """Remove all images of the side that is searched, but not their folders."""
    side = a_row(tree).side
    files = [f for r in tree.rows if r.side == side for f in r.files]
    for file in set(files):
        (tree.root / file).unlink()
    return Outcome(NAMED, *above(tree, files), *(os.path.basename(file) for file in files))


def above(tree, files):
    """Return the folders of files and those above them, below the data root."""
    folders = {str(p) for f in files for p in Path(f).parents} - {"."}
    return [f"{folder}'" for folder in folders]


def missing_folder(tree):
    """Remove the folder of a gallery image."""
    folder = os.path.dirname(a_row(tree).files[0])
    gone = [r for r in tree.rows if any(os.path.dirname(f) == folder for f in r.files)]
    shutil.rmtree(tree.root / folder)
    tree.rows = [r for r in tree.rows if r not in gone]
    files = [os.path.basename(f) for r in gone for f in r.files]
    return Outcome(EITHER, *above(tree, [f"{folder}/x"]), os.path.basename(folder), *files)


def one_camera(tree):
    """Leave one camera's images, of those whose folders and names say all."""
    if not tree.folders or tree.lists or tree.drawn:
        return None
    first = min((r.camid for r in tree.rows), key=str)
    gone = [r for r in tree.rows if r.camid != first]
    for file in {f for r in gone for f in r.files}:
        (tree.root / file).unlink()
    tree.rows = [r for r in tree.rows if r.camid == first]
    return Outcome(EITHER, *above(tree, [f for r in gone for f in r.files]))


def system_files(tree):
    """Add what systems leave: hidden files, AppleDouble, thumbnails, notes."""
    for folder in sorted({os.path.dirname(file) for file in tree.files()})[:12]:
        for name in ("._0001_c1s1_000151_01.jpg", ".DS_Store", "Thumbs.db", ".hidden.jpg"):
            tree.write(f"{folder}/{name}", b"\0\5\x16\7Mac OS X")
        tree.write(f"{folder}/readme.txt", b"notes")
        tree.write(f"{folder}/__MACOSX/x.jpg")
        tree.write(f"{folder}/.ipynb_checkpoints/y.jpg")
    return Outcome(READ)


def linked(tree):
    """Keep an image elsewhere, and a link to it in its place."""
    file = a_row(tree).files[0]
    store = tree.root / "store" / "blob"
    store.parent.mkdir()
    (tree.root / file).rename(store)
    (tree.root / file).symlink_to(store)
    return Outcome(NAMED, file) if tree.sealed else Outcome(READ)


def broken_link(tree):
    file = a_row(tree).files[0]
    (tree.root / file).unlink()
    (tree.root / file).symlink_to("nowhere")
    return Outcome(NAMED, os.path.basename(file))


def linked_root(tree):
    link = tree.root.with_name("link")
    link.symlink_to(tree.root)
    tree.root = link
    return Outcome(READ)


def root_named(name):
    def change(tree):
        tree.root = tree.root.rename(tree.root.with_name(name))
        return Outcome(READ)

    return change


def load(tree):
    options = {"seq_len": 2, "sample_method": "evenly"} if video(tree) else {}
    options |= {k: v(tree.root) if callable(v) else v for k, v in tree.options.items()}
    name = tree.entry(tree.root) if tree.entry else tree.name
    return load_dataset(name, tree.root, **options)


def video(tree):
    return any(len(row.files) > 1 for row in tree.rows)


def moved(tree):
    """Load a set, then move its root."""
    load(tree)
    tree.root = tree.root.rename(tree.root.with_name("moved"))
    return Outcome(READ)


def copied(tree):
    """Load a set, then go on with a copy, while the first root is still there."""
    load(tree)
    old, tree.root = tree.root, tree.root.with_name("copy")
    shutil.copytree(old, tree.root)
    return Outcome(READ)


def one_more_after_loading(tree):
    """Load a set, which may draw and keep splits, then add an image."""
    load(tree)
    return one_more(tree)


def removed_after_loading(tree):
    load(tree)
    return missing_file(tree)


def read_only(tree):
    """Let no file be made; permissions would not keep an administrator from it."""

    def refuse(*_, **__):
        raise PermissionError(30, "Read-only file system")

    tree.patch.setattr(tempfile, "mkstemp", refuse)
    tree.patch.setattr(os, "mkdir", refuse)
    return Outcome(READ)


def too_deep(tree):
    if not tree.rooted:
        return None
    tree.asked = tree.root / tree.home.split("/")[0]
    return Outcome(EITHER, f"did you mean --root '{tree.root}'?")


def too_high(tree):
    if not tree.rooted:
        return None
    tree.asked = tree.root.parent
    return Outcome(NAMED, f"did you mean --root '{tree.root}'?")


def renamed_home(tree):
    if not tree.rooted:
        return None
    first = tree.home.split("/")[0]
    (tree.root / first).rename(tree.root / "other")
    return Outcome(NAMED, first)


def linked_extra(tree):
    """Put a link to a folder with an image among images."""
    place, store = os.path.dirname(a_row(tree).files[0]), tree.root.parent / "store"
    store.mkdir()
    (store / "0099_c1s1_000001_00.jpg").write_bytes(content(".jpg"))
    (tree.root / place / "more").symlink_to(store)
    if tree.folders:
        return Outcome(NAMED, f"{place}/more")
    return Outcome(READ, warns="more/0099_c1s1" if tree.unlisted else "")


def loop(tree):
    """Add a link to itself, and where no image is looked for by folder one to its own folder."""
    place = tree.root / os.path.dirname(a_row(tree).files[0])
    (place / "loop").symlink_to("loop")
    if not tree.folders:
        (place / "again").symlink_to(".")
    return Outcome(READ)


def loop_named_like_image(tree):
    file = f"{os.path.dirname(a_row(tree).files[0])}/loop.jpg"
    (tree.root / file).symlink_to("loop.jpg")
    if tree.folders:
        return Outcome(NAMED, file)
    return Outcome(READ, warns=file if tree.unlisted else "")


def linked_folder(tree):
    """Keep the folder of a gallery image elsewhere, and a link to it in its place."""
    place, store = tree.root / os.path.dirname(a_row(tree).files[0]), tree.root.parent / "store"
    place.rename(store)
    place.symlink_to(store)
    return Outcome(NAMED, *tree.files()) if tree.sealed else Outcome(READ)


def no_suffix_below(tree):
    """Put a folder with an image without a suffix among images."""
    file = beside(tree, "more/0099_c1s1_000001", content(".jpg"))
    if tree.folders:
        return Outcome(NAMED, file)
    return Outcome(READ, warns=file if tree.unlisted else "")


def closed_folder(tree):
    """Put a folder that cannot be listed among images."""
    bad = str(tree.root / os.path.dirname(beside(tree, "closed/0099_c1s1_000001.jpg")))
    stock = os.scandir

    def scandir(path="."):
        if str(path) == bad:
            raise PermissionError(13, "Permission denied", bad)
        return stock(path)

    tree.patch.setattr(os, "scandir", scandir)
    return Outcome(NAMED if tree.folders or tree.unlisted else READ, "closed'")


def named_as(pid, camera=12):
    """Return a change that adds an image of an identity that no set has."""

    def change(tree):
        if tree.named is None:
            return None
        file = f"{tree.home}/{tree.named(0, camera)}".replace("0000", pid, 1)
        tree.write(file)
        return Outcome(NAMED, os.path.basename(file))

    return change


def twice_in_a_list(tree):
    """Repeat the last line of each list; MARS's tracklets do not ask for it."""
    if not tree.lists or "info/tracks" in str(sorted(tree.root.rglob("*.mat"))):
        return None
    for name in tree.lists:
        path = tree.root / name
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines, lines[-1]]) + "\n")
    return Outcome(NAMED, *tree.lists, *(os.path.basename(file) for file in tree.files()))


def large_in_a_list(digits):
    """Return a change of the last number of a list's first line."""

    def change(tree):
        # own lists have any words for numbers, CCVID's for clothes
        if not tree.lists or tree.entry or tree.name.startswith("ccvid"):
            return None
        path = tree.root / tree.lists[0]
        first, *lines = path.read_text().splitlines()
        path.write_text("\n".join([re.sub(r"\d+(?=\D*$)", digits, first), *lines]) + "\n")
        return Outcome(NAMED, tree.lists[0])

    return change


def list_of_the_other_side(tree):
    """Give the training list for that of the test, where both name files below one folder."""
    if tree.name.split("_")[0] not in ("sysu", "regdb", "bupt"):
        return None
    places = [tree.root / name for name in tree.lists]
    places[-1].write_bytes(places[0].read_bytes())
    return Outcome(NAMED, tree.lists[-1], *(os.path.basename(file) for file in tree.files()))


def swapped_modalities(tree):
    if tree.name.split("_")[0] not in ("regdb", "llcm"):
        return None
    first, second = (tree.root / name for name in tree.lists[:2])
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    return Outcome(NAMED, *tree.lists[:2])


def list_is_a_folder(tree):
    if not tree.lists or "vcm" in tree.name:
        return None
    path = tree.root / tree.lists[0]
    path.unlink()
    path.mkdir()
    return Outcome(NAMED, tree.lists[0])


def two_cameras(tree):
    """Add a gallery image whose name says two cameras."""
    if tree.entry and "folder" in tree.name:
        old = a_row(tree).files[-1]
        name = old.replace(".jpg", "_c8.jpg")
        (tree.root / old).rename(tree.root / name)
        return Outcome(NAMED, name)
    if tree.named is None or not re.search("[cC]12", tree.named(20, 12)):
        return None
    stem, suffix = os.path.splitext(tree.named(20, 12))
    mark = re.search("[^A-Za-z]?[cC](?=12)", stem)[0]
    file = f"{tree.home}/{stem}{mark}7{suffix}"
    tree.write(file)
    return Outcome(NAMED, os.path.basename(file))


def two_people(tree):
    """Return rows of two identities on one side, of the side that is searched if there are any."""
    rows = sorted(tree.rows, key=lambda row: row.side != a_row(tree).side)
    pairs = ((a, b) for a in rows for b in rows if a.side == b.side and a.pid != b.pid)
    return next(pairs)


def equal_image(make):
    """Return a change that makes an image of one identity equal to one of another."""

    def change(tree):
        if tree.name.startswith("virtual"):  # rendered for one identity a side
            return None
        row, other = two_people(tree)
        source, target = (tree.root / r.files[0] for r in (row, other))
        target.unlink()
        make(source, target)
        equal_names = [os.path.basename(r.files[0]) for r in (row, other)]
        if not tree.entry:  # public sets are warned of, where a run reads all of their bytes
            linked_away = make is os.symlink and tree.sealed
            return Outcome(EITHER if linked_away else READ, *equal_names)
        return Outcome(NAMED, *equal_names)

    return change


MUTATIONS = {
    "nothing": lambda tree: Outcome(READ),
    "suffix in upper case": lambda tree: renamed(Path(a_row(tree).files[-1]).suffix.upper())(tree),
    **{f"suffix {suffix}": renamed(suffix) for suffix in (".png", ".bmp", ".webp", ".jpeg")},
    "suffix .Jpg": renamed(".Jpg"),
    "an image in another format": stray("0020_c1s1_000151_07.tif"),
    "an image without a suffix": stray("0020_c1s1_000151_07", content(".jpg")),
    "an image of another name": stray("me on holiday.jpg"),
    "one more image": one_more,
    "large numbers": large_numbers,
    "camera 0": camera_0,
    "a missing image": missing_file,
    "a truncated image": truncated,
    "blank lines": over_lists(blank_lines),
    "no last line end": over_lists(no_last_end),
    "CRLF": over_lists(crlf),
    **{f"lists in {e}": over_lists(recoded(e)) for e in ("utf-8-sig", "utf-16", "utf-16-le")},
    "a bad line": bad_line,
    "a missing list": missing_list,
    "an empty list": empty_list,
    "a subfolder": subfolder,
    "a folder named like an image": folder_named_like_image,
    "an empty folder": empty_folder,
    "an empty split": empty_split,
    "a missing folder": missing_folder,
    "one camera": one_camera,
    "system files": system_files,
    "a link": linked,
    "a link to another folder": linked_extra,
    "a link to itself": loop,
    "an image that is a link to itself": loop_named_like_image,
    "a linked folder": linked_folder,
    "an image without a suffix in a subfolder": no_suffix_below,
    "a closed folder": closed_folder,
    "an identity of 20 digits": named_as("9" * 20),
    "an identity in other digits": named_as("\uff10\uff10\uff12\uff11"),
    "a line twice": twice_in_a_list,
    "30 digits in a list": large_in_a_list("9" * 30),
    "5,000 digits in a list": large_in_a_list("9" * 5000),
    "the list of the other side": list_of_the_other_side,
    "lists of swapped modalities": swapped_modalities,
    "a list that is a folder": list_is_a_folder,
    "a broken link": broken_link,
    "a linked root": linked_root,
    "a root with brackets": root_named("reid [data] {x} *?"),
    "a root with _c2": root_named("0007_c2s1-1_c3_C5T0001"),
    "a root in Unicode": root_named("données 人"),
    "a root with a line end": root_named("new\nline 100% ~ $HOME '{0}'"),
    "a moved root": moved,
    "a copied root": copied,
    "one more image after loading": one_more_after_loading,
    "a missing image after loading": removed_after_loading,
    "a read-only root": read_only,
    "two cameras in a name": two_cameras,
    "a copy under another identity": equal_image(shutil.copy),
    "a hard link under another identity": equal_image(os.link),
    "a link under another identity": equal_image(os.symlink),
    "a root too deep": too_deep,
    "a root too high": too_high,
    "a renamed folder": renamed_home,
}
# by the same code as another set, or of a thousand images: few changes by default
TWINS = (
    *("virtual_b", "virtual_c", "virtual_c_long", "virtual_vi_v2i", "sysu_mm01_indoor"),
    *("regdb_i2v", "llcm_i2v", "vcm_i2v", "bupt_campus_i2v", "prid", "prcc_same", "ltcc_cc"),
    *("ltcc_sc", "ccvid_cc", "ccvid_sc", "celeb_reid_light", "ag_reid_g2a"),
)
FEW = {name: MUTATIONS[name] for name in ("nothing", "one more image", "a missing image")}
SAMPLE = 3  # of so many changes one is tried by default
FEW |= {name: MUTATIONS[name] for name in ("suffix .png", "a copied root", "a read-only root")}


def sample(name):
    """Return a third of the changes, another one for the next set, so that all are tried."""
    if name in TWINS:
        return FEW
    first = [n for n in MAKERS if n not in TWINS].index(name) % SAMPLE
    return dict(list(MUTATIONS.items())[first::SAMPLE])


@pytest.mark.parametrize("name", MAKERS)
def test_a_changed_set_is_read_rightly_or_named(name, tmp_path):
    tried_all(name, sample(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_a_set_is_read_rightly_or_named_after_all_changes(name, tmp_path):
    tried_all(name, MUTATIONS, tmp_path)


def tried_all(name, mutations, tmp_path):
    faults = []
    for number, (mutation, change) in enumerate(mutations.items()):
        fault = tried(name, change, tmp_path / f"m{number}" / "data")
        if fault:
            faults.append(f"{mutation}: {fault}")
        shutil.rmtree(tmp_path / f"m{number}")
    COUNTS["sets"] += 1
    assert not faults, "\n".join(faults)


def tried(name, change, root):
    """Return what is wrong after a change, "" for nothing."""
    root.mkdir(parents=True)
    tree = MAKERS[name](root)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tree.patch, tree.asked = patch, None
        outcome = change(tree)
        if outcome is None:
            COUNTS["do not apply"] += 1
            return ""
        del said[:]
        asked, tree.root = tree.root, tree.asked or tree.root
        try:
            data = load(tree)
        except AdvError as error:
            tree.root = asked
            return fault_of_error(tree, outcome, str(error))
        except Exception as error:
            COUNTS["tracebacks"] += 1
            return f"traceback {type(error).__name__}: {error}"
        tree.root = asked
        return fault_of_records(tree, outcome, data, [str(w.message) for w in said])


def fault_of_error(tree, outcome, text):
    if outcome.kind == READ:
        return f"not read: {text}"
    if not any(name in text for name in outcome.names):
        return f"the error names none of {outcome.names[:3]}: {text}"
    innocent = {os.path.basename(file) for file in tree.files()}
    innocent -= {os.path.basename(name) for name in outcome.names}
    blamed = [name for name in innocent if f"/{name}'" in text]
    if blamed:
        return f"the innocent {blamed} is blamed: {text}"
    COUNTS["named"] += 1
    return ""


def fault_of_records(tree, outcome, data, said):
    if outcome.kind == NAMED:
        COUNTS["silent"] += 1
        return "read without a word"
    if outcome.warns and not any(outcome.warns in text for text in said):
        return f"no warning names {outcome.warns}, but {said}"
    if not outcome.warns and said:
        return f"a needless warning: {said}"
    fault = difference(tree, data)
    COUNTS["silent" if fault else "read"] += 1
    return fault


def difference(tree, data):
    """Return how the records differ from what is in the tree, "" where they do not."""
    rows = [
        (s, tuple(str(f.path) for f in record.files), record.pid, record.camid)
        for s in SIDES
        for record in data.side(s)
    ]
    truth = [
        (r.side, tuple(str(tree.root / f) for f in r.files), r.pid, r.camid) for r in tree.rows
    ]
    if not {r.side for r in tree.rows} - {"train"}:  # to train with: one image stands for the rest
        rows = [row for row in rows if row[0] == "train"]
    if tree.drawn:
        return drawn_difference(tree.name, rows, truth)
    both = Counter(row[:2] for row in rows), Counter(row[:2] for row in truth)
    if both[0] != both[1]:
        return f"other files: {both[0] - both[1]} too many, {both[1] - both[0]} missing"
    expected = {row[:2]: row for row in truth}
    cameras, labels = {}, {}
    for side, files, pid, camid in rows:
        _, _, true_pid, true_camid = expected[side, files]
        if side == "train":
            labels.setdefault(true_pid, pid)
        if pid != (labels[true_pid] if side == "train" else true_pid):
            return f"{files[0]} is of {pid}, not {true_pid}"
        if tree.cameras and camid != true_camid:
            return f"{files[0]} is of camera {camid}, not {true_camid}"
        part = side == "train"
        if cameras.setdefault((part, true_camid), camid) != camid:
            return f"{files[0]} is of camera {camid}, not {cameras[part, true_camid]}"
    if sorted(labels.values()) != list(range(len(labels))):
        return f"training labels {labels}"
    if len({(part, camid) for (part, _), camid in cameras.items()}) != len(cameras):
        return "two cameras are one"
    return ""


def drawn_difference(name, rows, truth):
    """Compare sets whose sides are drawn: who is on which side may not depend on the files."""
    known = {row[1]: row[2:] for row in truth}
    if {row[1] for row in rows} - known.keys():
        return "other files"
    left_out = known.keys() - {row[1] for row in rows}
    trained = {known[row[1]][0] for row in rows if row[0] == "train"}
    tested = {known[row[1]][0] for row in rows if row[0] != "train"}
    if (name != "ilids" and left_out) or any(known[files][0] in trained for files in left_out):
        return f"left out: {sorted(left_out)[:3]}"
    if trained & tested:
        return f"{trained & tested} are on both sides"
    for side in ("train", "test"):
        labels = {}
        for row in rows:
            if (row[0] == "train") == (side == "train"):
                true_pid, true_camid = known[row[1]]
                if labels.setdefault(row[2], true_pid) != true_pid or row[3] != true_camid:
                    return f"{row} should be of {true_pid}, camera {true_camid}"
        if len(set(labels.values())) != len(labels):
            return "one person has two labels"
        if side == "train" and sorted(labels) != list(range(len(labels))):
            return f"training labels {sorted(labels)}"
    return ""


def test_the_table_has_every_registered_set():
    module = vars(torchreid_module("data.datasets"))
    known = {*module["__image_datasets"], *module["__video_datasets"], *DATASETS}
    own = {name for name in DATASETS if "entry" in DATASETS.facts(name)}
    known = {name for name in known - own if not name.startswith("tiny_")}
    assert known == {name for name in MAKERS if " " not in name}


def test_truncated_images_are_named_with_their_path(tmp_path):
    for name in ("market1501", "viper", "mars", "msmt17"):
        root = tmp_path / name
        root.mkdir()
        tree = MAKERS[name](root)
        truncated(tree)
        file = a_row(tree).files[-1]
        bad, _ = check_images([f for f in load(tree).files() if f.path == root / file])
        assert [str(root / file) in text for text in bad.values()] == [True]


def test_the_counts(capsys):
    with capsys.disabled():
        cells = COUNTS["read"] + COUNTS["named"]
        print(
            f"\n{COUNTS['sets']} data sets x {len(MUTATIONS)} changes: {COUNTS['read']} read "
            f"rightly, {COUNTS['named']} named, {COUNTS['silent']} silent differences, "
            f"{COUNTS['tracebacks']} tracebacks ({COUNTS['do not apply']} do not apply)"
        )
    assert not COUNTS["silent"] + COUNTS["tracebacks"]
    assert cells or not COUNTS["sets"]
