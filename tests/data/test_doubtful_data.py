"""What is probably not meant so: it is read, said, and kept with the data set; or refused."""

import shutil

import pytest
from own_sets import write_mot
from test_mutations import MAKERS, load
from test_own_lists import ROWS, List

import torchreid_adv as adv
from torchreid_adv.errors import DataError

pytestmark = pytest.mark.usefixtures("own_config")

ALIKE = {  # (one, other): by what they differ; "" = they are different names
    ("Ann", "ANN"): "case",
    ("Ann", "\uff21nn"): "blanks, signs or zeros",
    ("Ann Lee", "Ann  Lee"): "blanks, signs or zeros",
    ("Ann-Lee", "Ann_Lee"): "blanks, signs or zeros",
    ("p7", "p07"): "blanks, signs or zeros",
    ("p7", "p70"): "",
    ("p1.05", "p1.5"): "",
    ("p100", "p10"): "",
    ("Ann", "Anna"): "",
}


@pytest.mark.parametrize("kind", ["pid", "camid", "view", "clothes"])
@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_that_look_alike_are_warned_of(kind, one, other, tmp_path, recwarn):
    table = List(tmp_path)
    if kind in ("view", "clothes"):
        table.column(kind, ["x"] * len(ROWS))
    if kind == "pid":
        table.cell(2, "pid", other)
    table.cell(3, kind, other)
    table.cell(4, kind, one)
    data = table.load()
    said = [text for text in data.warnings if "count as different" in text]
    assert [f"by {ALIKE[one, other]} alone" in text for text in said] == (
        [True] if ALIKE[one, other] else []
    )


def test_a_number_is_written_in_one_way_in_training_and_in_the_test(tmp_path):
    table = List(tmp_path)
    for row in (2, 3):
        table.cell(row, "pid", "007")
    with pytest.raises(DataError, match=r"line 4 .*pid .007. is .7. elsewhere"):
        table.load()


BOXES = {
    "x1 y1 x2 y2": ([20, 30, 38, 55], "5 of 5 boxes reach out of their images by a tenth or more"),
    "beyond the corner": ([-9, -9, 14, 14], "5 of 5 boxes lie outside of their images for more"),
    "of a few pixels": ([5, 5, 2, 30], "5 of 5 boxes hold fewer than 4 pixels in width or height"),
    "inside": ([5, 5, 20, 30], ""),
    "slightly cut": ([-1, 0, 20, 40], ""),
}


@pytest.mark.parametrize("kind", BOXES)
def test_boxes_that_are_probably_something_else_are_warned_of_each_time(kind, tmp_path, recwarn):
    box, said = BOXES[kind]
    table = List(tmp_path)  # of images of 60 x 40 pixels
    for name, value in zip("xywh", box, strict=True):
        table.column(name, [str(value)] * len(ROWS))
    for _ in range(2):  # the second time the crops are there
        texts = table.load().warnings
        assert any(said in text for text in texts) if said else texts == ()


def test_a_sequence_with_corners_for_sizes_is_warned_of(tmp_path):
    write_mot(tmp_path / "S1")
    path = tmp_path / "S1/gt/gt.txt"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    for fields in lines:
        fields[4:6] = [str(int(fields[2]) + 30), str(int(fields[3]) + 40)]
    path.write_text("\n".join(map(",".join, lines)) + "\n")
    with pytest.warns(UserWarning, match="are they x1, y1, x2, y2"):
        adv.load_dataset(f"mot:{tmp_path / 'S1'}", root=tmp_path / "root")


@pytest.mark.parametrize("number", [0, 3])
def test_a_column_that_is_not_read_is_said_wherever_it_begins(number, tmp_path):
    table = List(tmp_path)
    table.path = tmp_path / "people.jsonl"
    table.write()
    lines = table.path.read_text().splitlines()
    lines[number] = lines[number].replace("{", '{"shoe": 42, ', 1)
    table.path.write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning, match="columns that are not read: shoe"):
        data = adv.load_dataset(str(table.path), root=tmp_path)
    assert sum("shoe" in text for text in data.warnings) == 1


def test_a_frame_without_a_tracklet_is_not_read(tmp_path):
    table = List(tmp_path)
    table.column("frame", "12345")
    with pytest.warns(UserWarning, match="columns that are not read: frame"):
        assert table.load().warnings


@pytest.mark.parametrize("protocol", ["clothes_changed", "clothes_same"])
@pytest.mark.parametrize("missing", [2, 4])
def test_a_protocol_of_clothes_takes_them_in_every_row_of_the_test(protocol, missing, tmp_path):
    table = List(tmp_path)
    table.column("protocol", [protocol] * len(ROWS))
    table.column("clothes", ["", "", "red", "blue", "red"])
    assert table.load().protocol == protocol
    table.cell(missing, "clothes", "")
    with pytest.raises(DataError, match=f"line {missing + 2} .*has no clothes"):
        table.load()


def test_two_folders_of_one_split_are_refused(tmp_path):
    for number, name in enumerate(("query/a/c1.jpg", "Query/a/c1.jpg", "gallery/a/c2.jpg")):
        List(tmp_path).image(f"shop/{name}", number)
    with pytest.raises(DataError, match="has the folders 'Query' and 'query'"):
        adv.load_dataset(f"folder:{tmp_path / 'shop'}", root=tmp_path)


KNOWN = {  # set: a training image of an identity of the test
    "market1501": "bounding_box_train/0020_c1s1_000151_06.jpg",
    "dukemtmcreid": "bounding_box_train/0020_c1_f0006951.jpg",
    "occluded_duke": "bounding_box_train/0020_c1_f0006951.jpg",
    "veri776": "image_train/0020_c001_00016450_0.jpg",
    "prcc": "train/020/A_cropped_rgb001.jpg",
    "ltcc": "train/020_1_c1_015833.png",
    "ag_reid_a2g": "bounding_box_train/P0005T04090A0C0F0005.jpg",
}


@pytest.mark.parametrize("name", KNOWN)
def test_identities_in_training_and_in_the_test_are_warned_of(name, tmp_path):
    tree = MAKERS[name](tmp_path / "data")
    assert load(tree).warnings == ()
    tree.write(f"{tree.home}/{KNOWN[name]}")
    with pytest.warns(UserWarning, match="an identity in training and in the test"):
        assert load(tree).warnings


def test_a_listed_image_of_two_identities_is_refused(tmp_path):
    tree = MAKERS["msmt17"](tmp_path / "data")
    folder = tree.root / tree.home
    asked = (folder / "list_query.txt").read_text().splitlines()[0].split()[0]
    with (folder / "list_gallery.txt").open("a") as file:
        file.write(f"{asked} 77\n")
    with pytest.raises(DataError, match=f"{asked}' as a query of identity .* as identity 77"):
        load(tree)


def test_a_second_folder_of_a_set_is_named(tmp_path):
    tree = MAKERS["veri776"](tmp_path / "data")
    shutil.copytree(tree.root / "VeRi", tree.root / "veri")
    with pytest.warns(UserWarning, match="is read from '.*VeRi', and there is '.*veri'"):
        assert load(tree).warnings
