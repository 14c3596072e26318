"""Images with equal bytes that a data set says different things of: own sets refuse, runs warn."""

import dataclasses
import os
import shutil
import warnings
from itertools import combinations

import pytest
from own_sets import list_tree
from test_mutations import MAKERS, TWINS, load, two_people

from torchreid_adv.core.contents import Contents
from torchreid_adv.data.copies import (
    IDENTITIES,
    SIDES_OF_TEST,
    SPLITS,
    TWICE,
    Labeled,
    _kind,
    doubts,
    with_copies,
)
from torchreid_adv.errors import DataError

SETS = [name for name in MAKERS if name not in TWINS]


pytestmark = pytest.mark.usefixtures("own_config")


def told(data):
    """Return the warnings of a run on a data set, which are said as well."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = with_copies(data, Contents())
    assert [str(warning.message) for warning in said] == list(data.warnings)
    return data.warnings


@pytest.mark.parametrize("name", SETS)
def test_a_run_is_told_of_an_image_under_two_identities(name, tmp_path, own_config):
    """In every layout: nothing is said of different images, and both names of equal ones."""
    own_config.adv.data.copies = "warn"
    tree = MAKERS[name](tmp_path / "data")
    assert told(load(tree)) == ()
    if name.startswith("virtual"):  # rendered for one identity a side
        return
    row, other = two_people(tree)
    shutil.copy(tree.root / row.files[0], tree.root / other.files[0])
    data = load(tree)
    read = {
        file.path
        for side in ("train", "query", "gallery")
        for record in data.side(side)
        for file in record.files
    }
    if {tree.root / row.files[0], tree.root / other.files[0]} <= read:  # a set may draw its images
        text = " ".join(told(data))
        drawn = "in training and in the test" if tree.drawn else "under two identities"
        assert drawn in text or "under two identities" in text
        assert all(os.path.splitext(os.path.basename(r.files[0]))[0] in text for r in (row, other))


PEOPLE = [("train", "1", "0")] * 60 + [("query", "2", "0")] * 60


@pytest.mark.parametrize(
    ("last", "kinds"),
    [
        (("train", "1", "0"), {SPLITS, TWICE}),
        (("train", "2", "0"), {SPLITS, TWICE, IDENTITIES}),
        (("gallery", "3", "0"), {SPLITS, TWICE, IDENTITIES}),
        (("gallery", "2", "0"), {SPLITS, TWICE}),
        (("gallery", "2", "1"), {SPLITS, TWICE, SIDES_OF_TEST}),
    ],
)
def test_no_kind_is_missed_in_a_large_group(last, kinds):
    labels = [*PEOPLE, last]
    group = [Labeled(f"{n}.jpg", *label, "") for n, label in enumerate(labels)]
    assert {doubt.kind for doubt in doubts([group], "")} == kinds
    every = {_kind(a, b, "") for a, b in combinations(group, 2)} - {""}
    assert kinds == every


def shop(tmp_path, *equal):
    """Return the list of a shop in which the images of two rows are equal."""
    tree = list_tree(tmp_path / "data")
    if equal:
        shutil.copy(*(tree.root / tree.home / f"crops/{file}.jpg" for file in equal))
    return tree


REFUSED = {
    ("gallery/p20_1", "gallery/p21_2"): "under two identities",
    ("query/p20_1", "gallery/p21_2"): "under two identities",
    ("train/p3_1", "train/p9_2"): "under two identities",
    ("train/p3_1", "gallery/p20_2"): "in training and in the test",
    ("query/p20_1", "gallery/p20_2"): "as query and in the gallery, where one finds the other",
}
ALLOWED = {  # (one, other): what a run says of it
    ("query/p20_1", "gallery/p20_1"): "",  # of one camera: it is left out
    ("gallery/p20_1", "gallery/p20_2"): "in one split, which count twice",
}


@pytest.mark.parametrize("equal", REFUSED)
def test_own_images_that_contradict_each_other_are_refused_with_their_lines(
    equal, tmp_path, own_config
):
    tree = shop(tmp_path, *equal)
    with pytest.raises(DataError, match=REFUSED[equal]) as refused:
        load(tree)
    assert all(f"{file}.jpg" in str(refused.value) for file in equal)
    assert "line " in str(refused.value)
    own_config.adv.data.copies = "warn"
    (text,) = told(load(tree))
    assert REFUSED[equal] in text


@pytest.mark.parametrize("equal", ALLOWED)
def test_copies_that_make_no_score_wrong_are_read(equal, tmp_path):
    said = told(load(shop(tmp_path, *equal)))
    assert [ALLOWED[equal] in text for text in said] == ([True] if ALLOWED[equal] else [])


def test_a_list_without_cameras_refuses_a_copy_on_the_other_side(tmp_path):
    tree = shop(tmp_path, "query/p20_1", "gallery/p20_1")
    path = tree.root / tree.home / "people.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join((a, b, d)) for a, b, _, d in lines) + "\n")
    with (
        pytest.warns(UserWarning, match="does not tell cameras"),
        pytest.raises(DataError, match="as query and in the gallery"),
    ):
        load(tree)


def test_boxes_with_equal_pixels_are_refused_as_files_are(tmp_path):
    tree = shop(tmp_path)
    path = tree.root / tree.home / "people.csv"
    first, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{first},box", *(f"{line},0 0 4 8" for line in lines)]) + "\n")
    assert load(tree)
    crops = tree.root / tree.home / "crops"
    shutil.copy(crops / "gallery/p20_1.jpg", crops / "gallery/p21_2.jpg")
    with pytest.raises(DataError, match=r"under two identities: line \d+ of .* and line \d+ of"):
        load(tree)


def test_equal_files_are_those_that_a_slow_loop_finds(tmp_path):
    """Files of equal size, with equal ends, and all equal."""
    contents = [b"", b"", b"a", b"b", b"a" * 5000, b"b" + b"a" * 4999, b"a" * 5000, b"a"]
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    pairs = {
        (str(first), str(second))
        for first, second in combinations(paths, 2)
        if first.read_bytes() == second.read_bytes() != b""
    }
    groups = Contents().equal([*paths, tmp_path / "missing", tmp_path])
    assert {pair for group in groups for pair in combinations(group, 2)} == pairs


def test_warnings_of_reading_a_set_stay_with_it(tmp_path):
    tree = shop(tmp_path)
    path = tree.root / tree.home / "people.csv"
    first, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{first},shoe", *(f"{line},42" for line in lines)]) + "\n")
    with pytest.warns(UserWarning, match="columns that are not read: shoe"):
        data = load(tree)
    assert [text for text in data.warnings if "columns that are not read: shoe" in text]
    assert dataclasses.replace(data, query=data.query[:1]).warnings == data.warnings
