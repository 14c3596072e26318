"""Folders of identities and tracking sequences: what is read, and what is refused with a remedy."""

import re

import numpy as np
import pytest
from own_sets import picture, write_mot
from PIL import Image

import torchreid_adv as adv
from torchreid_adv.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("own_config")


def put(folder, *names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, (16, 8)))


SPLIT = ("query/ann/c1_1.jpg", "gallery/ann/c2_1.jpg", "gallery/bob/c2_1.jpg")


def read(folder, root):
    data = adv.load_dataset(f"folder:{folder}", root=root)
    return {
        side: [(data.names["test"][r.pid], r.path.name, r.camid) for r in data.side(side)]
        for side in ("query", "gallery")
    }, data


def test_folders_of_splits_are_read_with_their_cameras(tmp_path):
    put(tmp_path / "shop", *SPLIT)
    found, data = read(tmp_path / "shop", tmp_path)
    assert found["query"] == [("ann", "c1_1.jpg", 0)]
    assert sorted(found["gallery"]) == [("ann", "c2_1.jpg", 1), ("bob", "c2_1.jpg", 1)]
    assert data.name == "shop"
    assert data.protocol == ""
    assert data.train == ()


def test_without_splits_the_first_image_by_name_is_the_query(tmp_path):
    put(tmp_path / "shop", "ann/2_cam1.jpg", "ann/1_cam2.jpg", "bob/1_cam1.jpg", "cid/1_cam01.jpg")
    found, _ = read(tmp_path / "shop", tmp_path)
    assert found["query"] == [("ann", "1_cam2.jpg", 1)]
    assert sorted(found["gallery"]) == [
        ("ann", "2_cam1.jpg", 0),
        ("bob", "1_cam1.jpg", 0),
        ("cid", "1_cam01.jpg", 0),
    ]


def test_without_cameras_no_image_is_left_out_and_that_is_said(tmp_path):
    put(tmp_path / "shop", "ann/1.jpg", "ann/2.jpg")
    with pytest.warns(UserWarning, match="does not tell cameras.*no gallery image is left out"):
        found, data = read(tmp_path / "shop", tmp_path)
    assert data.protocol == "no_cameras"
    assert found["query"][0][2] != found["gallery"][0][2]


@pytest.mark.parametrize(
    ("name", "camera"),
    [("c3", "3"), ("x_cam12_1", "12"), ("Camera-2", None), ("0001_c1s1_0001", "1"), ("abc4", None)],
)
def test_which_names_tell_a_camera(name, camera):
    from torchreid_adv.data.own.folder import CAMERA

    found = re.search(CAMERA, name, re.ASCII)
    assert (found and found[1]) == camera


def test_a_pattern_of_ones_own_finds_the_camera(tmp_path, own_config):
    put(tmp_path / "shop", "ann/hall-1.jpg", "ann/yard-2.jpg")
    own_config.adv.data.camera = r"^(\w+)-"
    found, data = read(tmp_path / "shop", tmp_path)
    assert data.names["camera"] == ("hall", "yard")
    assert found["gallery"] == [("ann", "yard-2.jpg", 1)]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("(", "not a regular expression"), (r"c\d", "0 groups; write"), ("z(9)", "in no file name")],
)
def test_a_pattern_that_cannot_be_is_refused(tmp_path, own_config, pattern, said):
    put(tmp_path / "shop", "ann/1.jpg", "ann/2.jpg")
    own_config.adv.data.camera = pattern
    with pytest.raises(ConfigError, match=said):
        read(tmp_path / "shop", tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["ann/c1.jpg", "ann/2.jpg"], "2.jpg' does not tell its camera.*1 of 2 files do"),
        (["train/ann/c1.jpg"], "a folder train, but neither query nor gallery"),
        (["query/ann/c1.jpg", "train/ann/c1.jpg"], "no row has the split gallery"),
        (["ann/c1.jpg", "top.jpg"], "is next to the folders"),
        (["ann/more/c1.jpg", "ann/c2.jpg"], "holds images.*where none are read"),
        (["-1/c1.jpg", "-1/c2.jpg"], "pid is -1; numbers start from 0"),
        (["nan/c1.jpg", "nan/c2.jpg"], "pid is 'nan'"),
        (["ann/c1.jpg", "bob/c2.jpg"], "each identity in .* has a single image"),
        (["7/c1.jpg", "007/c2.jpg", "7/c2.jpg"], "pid '0?0?7' is '0?0?7' elsewhere"),
    ],
)
def test_a_folder_is_refused_with_the_reason(tmp_path, files, said):
    put(tmp_path / "shop", *files)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "shop", tmp_path)


def test_a_folder_beside_the_splits_is_warned_of(tmp_path):
    put(tmp_path / "shop", *SPLIT, "val/ann/c1_9.jpg")
    with pytest.warns(UserWarning, match="1 image files, which are not read.*val/ann"):
        read(tmp_path / "shop", tmp_path)


def sequence(folder, root):
    data = adv.load_dataset(f"mot:{folder}", root=root)
    words = data.names["test"]
    return data, {
        side: sorted((words[r.pid], r.path.name) for r in data.side(side))
        for side in ("query", "gallery")
    }


def test_people_are_cut_from_both_halves_of_a_sequence(tmp_path, own_config):
    write_mot(tmp_path / "town" / "S1")
    own_config.adv.mot.gap, own_config.adv.mot.step = 25, 5
    data, found = sequence(tmp_path / "town", tmp_path / "root")
    people = [f"S1-{person:06d}" for person in (1, 2, 3)]
    assert [pid for pid, _ in found["query"]] == people
    # frames 1 to 20 are the first half; from 26 on, every fifth frame
    frames = [name.split("_")[0] for pid, name in found["gallery"] if pid == people[0]]
    assert frames == ["000026", "000031", "000036"]
    assert {r.camid for r in data.query} == {0}
    assert {r.camid for r in data.gallery} == {1}
    record = next(r for r in data.gallery if r.path.name.startswith("000031_x9y"))
    frame = np.asarray(Image.open(tmp_path / "town/S1/img1/000031.jpg"))
    top = 31 % 7
    assert np.array_equal(np.asarray(Image.open(record.path)), frame[top : top + 16, 9:17])
    assert data.names["test"][record.pid] == people[1]  # left 10, counted from 1


def test_one_sequence_may_be_the_folder_itself(tmp_path):
    write_mot(tmp_path / "S1")
    data, _ = sequence(tmp_path / "S1", tmp_path / "root")
    assert data.name == "S1"
    assert len(data.query) == 3


def test_copies_by_other_detectors_are_one_sequence(tmp_path):
    write_mot(tmp_path / "town" / "M-02-DPM", copies=["M-02-SDP"])
    with pytest.warns(UserWarning, match="'M-02-SDP' has the people of 'M-02-DPM'"):
        data, _ = sequence(tmp_path / "town", tmp_path / "root")
    assert len(data.query) == 3


def rewritten(folder, change):
    path = folder / "gt" / "gt.txt"
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


def oldest(lines):
    """Write lines as the oldest sequences have them: no class, no visibility."""
    lines[:] = [",".join([*line.split(",")[:7], "-1", "-1", "-1"]) for line in lines[:-2]]


def test_the_oldest_sequences_have_no_class_and_no_visibility(tmp_path):
    write_mot(tmp_path / "S1")
    rewritten(tmp_path / "S1", oldest)
    assert len(sequence(tmp_path / "S1", tmp_path / "root")[0].query) == 3


def test_seqinfo_says_where_the_frames_are(tmp_path):
    folder = tmp_path / "S1"
    write_mot(folder)
    (folder / "img1").rename(folder / "frames")
    for path in (folder / "frames").iterdir():
        path.rename(path.with_suffix(".JPEG"))
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=S1\nimDir=frames\nimExt=.JPEG\n")
    assert len(sequence(folder, tmp_path / "root")[0].query) == 3


@pytest.mark.parametrize(
    ("name", "info"),
    [
        ("{:08d}.png", "[sequence]\nimExt=.png\n"),
        ("{}.PNG", "[Sequence]\nseqLength=40\n"),
        ("{:06d}.bmp", ""),
    ],
)
def test_frames_may_have_any_number_of_zeros(tmp_path, name, info):
    folder = tmp_path / "S1"
    write_mot(folder)
    for path in list((folder / "img1").iterdir()):
        path.rename(path.with_name(name.format(int(path.stem))))
    (folder / "seqinfo.ini").write_text(info)
    assert len(sequence(folder, tmp_path / "root")[0].query) == 3
    (folder / "img1" / ("0" + name.format(7))).write_bytes(picture(7))
    with pytest.raises(DataError, match=r"7\.\w+' in '.*' are one frame"):
        sequence(folder, tmp_path / "root")


def test_a_short_sequence_has_no_gallery_and_its_keys_are_named(tmp_path):
    write_mot(tmp_path / "S1", frames=20)
    with pytest.raises(DataError, match=r"25 frames or more after the query.*lower adv\.mot\.gap"):
        sequence(tmp_path / "S1", tmp_path / "root")


MOT_FAULTS = {
    "a missing frame": ("31,2,", None, "line 91 of.*names frame 31: there is no"),
    "a word": ("31,2,10", "31,x,10", "line 92.*'x' for a number"),
    "NaN": ("31,2,10", "31,2,nan", "line 92.*'nan' for a number"),
    "a fraction": ("31,2,10", "31.5,2,10", "line 92.*fraction 31.5"),
    "no person": ("31,2,10", "31,-1,10", "line 92.*person -1"),
    "a person twice": ("31,2,10", "31,1,10", "line 92.*person 1 in frame 31 again"),
    "an empty box": (",8,16,1,1,0.9", ",8,0,1,1,0.9", "line 1 .*8 x 0 pixels"),
    "too many fields": ("31,2,10", "31,2,1,1,1,10", "line 92.*has 12 fields"),
    "a confidence": (",8,16,1,1,0.9", ",8,16,0.4,1,0.9", "line 1 .*flag 0.4.*tracker"),
    "no confidence": (",8,16,1,1,0.9", ",8,16,-1,-1,-1", "line 1 .*flag -1.*results of a.*tracker"),
    "a class of none": (",8,16,1,1,0.9", ",8,16,1,0,0.9", "line 1 .*class 0, and classes are 1 to"),
    "a large class": (",8,16,1,1,0.9", ",8,16,1,14,0.9", "line 1 .*class 14,.*gt/labels.txt"),
    "half a class": (",8,16,1,1,0.9", ",8,16,1,1.5,0.9", "line 1 .*class 1.5,"),
    "coordinates": (",8,16,1,1,0.9", ",8,16,1,3.2,7.1,0", "line 1 .*class 3.2,"),
    "percent": (",8,16,1,1,0.9", ",8,16,1,1,90", "line 1 .*visibility 90, .* percent"),
    "less than nothing": (",8,16,1,1,0.9", ",8,16,1,1,-0.5", "line 1 .*visibility -0.5"),
    "a box in shares": (",8,16,1,1,0.9", ",0.8,0.6,1,1,0.9", "line 1 .*0.8 x 0.6 pixels.*multiply"),
    "a box outside": ("1,2,10,2,", "1,2,900,2,", "line 2 of.*lies outside"),
}


@pytest.mark.parametrize("fault", MOT_FAULTS)
def test_a_line_of_a_sequence_is_refused_with_its_number(tmp_path, fault):
    old, new, said = MOT_FAULTS[fault]
    write_mot(tmp_path / "S1")
    if new is None:
        (tmp_path / "S1/img1/000031.jpg").unlink()
    else:
        path = tmp_path / "S1/gt/gt.txt"
        text = "\n" + path.read_text()
        assert old in text
        place = text.index("\n" + old) + 1 if old[0] != "," else text.index(old)
        path.write_text((text[:place] + new + text[place + len(old) :])[1:])
    with pytest.raises(DataError, match=said):
        sequence(tmp_path / "S1", tmp_path / "root")


def test_the_names_of_classes_say_who_is_a_person(tmp_path):
    """CVAT numbers classes in the order of labels.txt; without a person's name none is guessed."""
    folder = tmp_path / "S1"
    write_mot(folder)
    labels = folder / "gt" / "labels.txt"
    rewritten(folder, lambda lines: lines.__setitem__(slice(None), people_as(2, lines)))
    labels.write_text("car\nPerson\n")
    assert len(sequence(folder, tmp_path / "root")[0].query) == 3
    labels.write_text("person\ncar\n")
    with pytest.raises(DataError, match="no visible person: flag 1, class 1"):
        sequence(folder, tmp_path / "root")
    labels.write_text("car\nbus\n")
    with pytest.raises(DataError, match=r"labels.txt. names the classes car, bus, and none"):
        sequence(folder, tmp_path / "root")
    labels.write_text("person\n")
    with pytest.raises(DataError, match=r"line 1 .*class 2, and classes are 1 to 1"):
        sequence(folder, tmp_path / "root")


def people_as(kind, lines):
    """Return lines of people only, with another class."""
    return [line.replace(",1,1,0.9", f",1,{kind},0.9") for line in lines[:-3]]


@pytest.mark.parametrize("name", ["c1_s2_c3.jpg", "cam1_camera2.jpg", "x_c1_c01_c4.jpg"])
def test_a_name_of_two_cameras_is_refused(tmp_path, own_config, name):
    put(tmp_path / "shop", "query/ann/c1_1.jpg", f"gallery/ann/{name}", "gallery/bob/c2_c02.jpg")
    with pytest.raises(DataError, match=rf"{name}' is of camera 1 and of camera \d by its name"):
        read(tmp_path / "shop", tmp_path)
    own_config.adv.data.camera = r".*c0?(\d)"
    if name.startswith("c1"):
        assert read(tmp_path / "shop", tmp_path)[0]["gallery"][0][1:] == (name, 2)


def test_frames_of_another_size_than_the_boxes_are_refused(tmp_path):
    folder = tmp_path / "S1"
    write_mot(folder)
    with Image.open(folder / "img1" / "000001.jpg") as frame:
        width, height = frame.size
    for stated in ((width, height), (2 * width, 2 * height)):
        info = "[Sequence]\nimWidth={}\nimHeight={}\n".format(*stated)
        (folder / "seqinfo.ini").write_text(info)
        if stated == (width, height):
            assert sequence(folder, tmp_path / "root")[0].query
            continue
        with pytest.raises(
            DataError, match=f"have {width} x {height} pixels, and seqinfo.ini says"
        ):
            sequence(folder, tmp_path / "root")


def test_frames_from_0_under_boxes_from_1_are_warned_of(tmp_path):
    folder = tmp_path / "S1"
    write_mot(folder)
    for path in sorted((folder / "img1").iterdir()):
        path.rename(path.with_name(f"{int(path.stem) - 1:06d}.jpg"))
    with pytest.warns(UserWarning, match=r"start at 000000.jpg, and gt.txt at frame 1: .* rename"):
        sequence(folder, tmp_path / "root")


def test_a_test_set_without_ground_truth_is_named(tmp_path):
    (tmp_path / "town/S1/img1").mkdir(parents=True)
    with pytest.raises(DataError, match=r"holds no sequence with gt/gt.txt; sequences without it"):
        sequence(tmp_path / "town", tmp_path)


def test_the_numbers_of_a_sequence_are_those_of_a_slow_loop(tmp_path):
    """Its halves are cameras, so that nothing of the gallery is left out."""
    write_mot(tmp_path / "S1", people=(1, 2, 3, 4))
    data, _ = sequence(tmp_path / "S1", tmp_path / "root")
    from torchreid_adv.evaluation import evaluate_matrix

    draws = np.random.default_rng(1).random((len(data.query), len(data.gallery)))
    pids = [np.array([r.pid for r in side]) for side in (data.query, data.gallery)]
    cams = [np.array([r.camid for r in side]) for side in (data.query, data.gallery)]
    wanted = []
    for row, pid in zip(draws, pids[0], strict=True):
        hits = np.flatnonzero(pids[1][np.argsort(row)] == pid)
        wanted.append(np.mean([(n + 1) / (place + 1) for n, place in enumerate(hits)]))
    assert evaluate_matrix(draws, *pids, *cams).mAP == pytest.approx(np.mean(wanted))
