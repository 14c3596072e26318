"""Lists of a user's own: each change is read rightly, or refused with the line and a remedy."""

import csv
import json
import warnings

import numpy as np
import pytest
from own_sets import picture
from PIL import Image

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.data.own import entry_of
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.runs import torchreid_checks

HEAD = ["path", "pid", "camid", "split"]
ROWS = [
    ["a/1.jpg", "7", "1", "train"],
    ["a/2.jpg", "8", "2", "train"],
    ["a/3.jpg", "20", "1", "query"],
    ["a/4.jpg", "20", "2", "gallery"],
    ["a/5.jpg", "21", "2", "gallery"],
]


class List:
    """A small list that a change is made to.

    Args:
        folder: that it lies in, beside its images.
    """

    def __init__(self, folder):
        self.folder, self.head, self.rows = folder, list(HEAD), [list(row) for row in ROWS]
        self.path, self.delimiter, self.mark = folder / "people.csv", ",", b""
        for number in range(1, 6):
            self.image(f"a/{number}.jpg", number)

    def image(self, name, number=0):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
        return path

    def column(self, name, values):
        self.head.append(name)
        for row, value in zip(self.rows, values, strict=True):
            row.append(value)

    def cell(self, row, name, value):
        self.rows[row][self.head.index(name)] = value

    def write(self):
        if self.path.suffix == ".jsonl":
            lines = [json.dumps(dict(zip(self.head, row, strict=True))) for row in self.rows]
            self.path.write_text("\n".join(lines) + "\n")
            return
        with open(self.path, "w", newline="") as file:
            writer = csv.writer(file, delimiter=self.delimiter)
            writer.writerows([self.head, *self.rows])
        self.path.write_bytes(self.mark + self.path.read_bytes())

    def load(self):
        self.write()
        return adv.load_dataset(str(self.path), root=self.folder / "data")


def seen(data):
    """Return side, file name, identity and camera of all records."""
    return sorted(
        (side, record.path.name, record.pid, record.camid)
        for side in ("train", "query", "gallery")
        for record in data.side(side)
    )


TRUTH = [
    ("gallery", "4.jpg", 20, 1),
    ("gallery", "5.jpg", 21, 1),
    ("query", "3.jpg", 20, 0),
    ("train", "1.jpg", 0, 0),
    ("train", "2.jpg", 1, 1),
]


def cell(row, name, value):
    return lambda one: one.cell(row, name, value)


def again(row, **cells):
    """Repeat a row with other cells."""

    def change(one):
        one.rows.append(list(one.rows[row]))
        for name, value in cells.items():
            one.cell(-1, name, value)

    return change


def column(name, *values):
    return lambda one: one.column(name, values)


def attribute(**values):
    return lambda one: vars(one).update(values)


def renamed(old, new):
    def change(one):
        one.head[one.head.index(old)] = new

    return change


def without(name):
    def change(one):
        at = one.head.index(name)
        for row in (one.head, *one.rows):
            del row[at]

    return change


def removed(one):
    (one.folder / "a/4.jpg").unlink()


def broken(one):
    (one.folder / "a/4.jpg").write_bytes(b"no image")


def jsonl(one):
    one.path = one.path.with_suffix(".jsonl")


def separator(one):
    """Name the separator in front, as Excel reads it."""
    one.mark, one.delimiter = b"\xef\xbb\xbfsep=;\r\n", ";"


def not_text(content):
    def change(one):
        one.write = lambda: one.path.write_bytes(content)

    return change


def no_header(one):
    one.head = one.rows.pop(0)


def linked(one):
    (one.folder / "a/4.jpg").rename(one.folder / "blob")
    (one.folder / "a/4.jpg").symlink_to(one.folder / "blob")


def linked_twice(one):
    (one.folder / "a/9.jpg").symlink_to(one.folder / "a/4.jpg")
    again(3, path="a/9.jpg")(one)


def absolute(one):
    one.cell(3, "path", str(one.folder / "a/4.jpg"))


def upper(one):
    (one.folder / "a/4.jpg").rename(one.folder / "a/4.JPG")
    one.cell(3, "path", "a/4.JPG")


def tab(one):
    one.path, one.delimiter = one.path.with_suffix(".tsv"), "\t"


def quoted_comma(one):
    one.image("a, b/4.jpg", 4)
    one.cell(3, "path", "a, b/4.jpg")


def all_pids(*values):
    def change(one):
        for row, value in enumerate(values):
            one.cell(row, "pid", value)

    return change


def box(*values):
    """Give the fourth row a box, the others one that is right."""

    def change(one):
        for name, value in zip("xywh", values, strict=True):
            one.column(name, ["2", "2", "2", value, "3"])

    return change


READ = {
    "nothing": lambda one: None,
    "semicolons": attribute(delimiter=";"),
    "tabs": tab,
    "a mark": attribute(mark=b"\xef\xbb\xbf"),
    "a mark and semicolons": attribute(mark=b"\xef\xbb\xbf", delimiter=";"),
    "JSON lines": jsonl,
    "a separator that is named": separator,
    "a head in capitals": renamed("path", " Path "),
    "a quoted comma": quoted_comma,
    "an absolute path": absolute,
    "a path upward": cell(3, "path", "a/../a/4.jpg"),
    "Windows slashes": cell(3, "path", "a\\4.jpg"),
    "a link": linked,
    "a split in capitals": cell(3, "split", "Gallery"),
    "blanks": cell(3, "pid", " 20 "),
}
REFUSED = {
    "a row twice": (again(3), "line 7.*which line 5.*remove one"),
    "a row twice by another path": (again(3, path="a/../a/4.jpg"), "line 7.*which line 5"),
    "a row twice by a link": (linked_twice, "line 7.*which line 5"),
    "a file as two people": (again(3, pid="21"), "line 7.*as another identity or camera"),
    "train and test": (again(3, split="train"), "line 7.*training or for the test"),
    "query and gallery as two": (again(3, split="query", pid="21"), "line 7.*correct one"),
    "a missing image": (removed, "line 5.*there is no image.*remove the row"),
    "another folder": (cell(3, "path", "b/4.jpg"), "line 5.*paths start from the folder"),
    "no path": (cell(3, "path", ""), "line 5.*path is empty"),
    "another format": (cell(3, "path", "a/4.tif"), "line 5.*does not end with.*convert"),
    "no pid": (cell(3, "pid", ""), "line 5.*pid is empty"),
    "a pid of NaN": (cell(3, "pid", "NaN"), "line 5.*pid is 'NaN'"),
    "a pid of None": (cell(3, "pid", "None"), "line 5.*pid is 'None'"),
    "a negative pid": (cell(3, "pid", "-1"), "line 5.*numbers start from 0"),
    "a fraction": (cell(3, "pid", "20.0"), "line 5.*fraction 20.0"),
    "an exponent": (cell(3, "pid", "2e1"), "line 5.*fraction 2e1"),
    "two spellings": (cell(4, "pid", "020"), "line 6.*pid '020' is '20' elsewhere"),
    "a long pid": (cell(3, "pid", "x" * 300), "line 5.*more than 200 characters"),
    "a control character": (cell(3, "pid", "a\x07b"), "line 5.*control characters"),
    "no camera": (cell(3, "camid", ""), "line 5.*camid is empty"),
    "another split": (cell(3, "split", "test"), "line 5.*split is 'test'; write train, query"),
    "no split": (cell(3, "split", ""), "line 5.*split is empty"),
    "a field too many": (lambda one: one.rows[3].append("x"), "line 5.*has 5 fields"),
    "a field too few": (lambda one: one.rows[3].pop(), "line 5.*has 3 fields"),
    "a column twice": (column("pid", *"12345"), "line 1.*names the column 'pid' twice"),
    "a misspelled column": (column("modalty", *["rgb"] * 5), "'modalty'.*did you mean 'modality'"),
    "no pid column": (without("pid"), "no column pid"),
    "no head": (no_header, "no column path, pid, split"),
    "no gallery": (lambda one: one.rows.__delitem__(slice(3, 5)), "no row has the split gallery"),
    "no rows": (lambda one: one.rows.clear(), "no row has the split query"),
    "another modality": (column("modality", *["rgb"] * 4, "uv"), "line 6.*modality is 'uv'"),
    "half a modality": (column("modality", *["rgb"] * 4, ""), "line 6.*modality is empty"),
    "half a tracklet": (column("tracklet", *"1234", ""), "line 6.*tracklet is empty"),
    "a frame in words": (column("frame", *"1234", "x"), "line 6.*frame is 'x'"),
    "an empty box": (box("1", "1", "0", "5"), "line 5.*0 x 5 pixels"),
    "a box in shares": (box("0.1", "0.1", "0.8", "0.9"), "line 5.*0.8 x 0.9 pixels.*multiply"),
    "a box of shares below a half": (box("0", "0", "0.4", "1"), "line 5.*0.4 x 1 pixels.*multiply"),
    "a box outside": (box("900", "1", "5", "5"), "line 5.*lies outside.*60 x 40"),
    "a box of NaN": (box("nan", "1", "5", "5"), "line 5.*'nan' is not a number of pixels"),
    "a huge box": (box("1", "1", "1e300", "5"), "line 5.*not a number of pixels"),
    "half a box": (box("1", "1", "", "5"), "line 5.*a box is four numbers"),
    "a decimal comma": (box("1,5", "1", "5", "5"), "line 5.*with a dot"),
    "a line after a named separator": (
        lambda one: [change(one) for change in (separator, cell(3, "pid", "-1"))],
        "line 6 of",
    ),
    "a gzip": (not_text(b"\x1f\x8b\x08\0a"), "is compressed by gzip; save it as text"),
    "a workbook": (not_text(b"PK\x03\x04\x14\0\x06\0"), "ZIP archive or an Excel workbook"),
    "a Parquet file as CSV": (not_text(b"PAR1\0"), "is a Parquet file"),
    "two protocols": (column("protocol", *["regdb"] * 4, "prcc"), "line 6.*a data set has one"),
}


@pytest.mark.parametrize("change", READ)
def test_a_list_is_read_rightly(tmp_path, change):
    one = List(tmp_path)
    READ[change](one)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert seen(one.load()) == TRUTH


@pytest.mark.parametrize("change", REFUSED)
def test_a_list_is_refused_with_its_line(tmp_path, change):
    one = List(tmp_path)
    edit, said = REFUSED[change]
    edit(one)
    with pytest.raises(DataError, match=f"(?s){said}"):
        one.load()


# as spreadsheets, pandas and keyboards write numbers and what is missing
STRANGE = (
    "20,0",
    "1,23E+05",
    "1,020",
    '="20"',
    "'20",
    '"20"',
    "+20",
    "\u221220",
    "\uff12\uff10",
    "\u0662\u0660",
)
MISSING = ("#N/A", "#REF!", "-nan", "1.#QNAN", "<NA>", "?", "-")


@pytest.mark.parametrize("column", ["pid", "camid"])
@pytest.mark.parametrize("word", [*STRANGE, *MISSING])
def test_what_is_no_name_is_not_taken_for_one(tmp_path, column, word):
    one = List(tmp_path)
    one.cell(3, column, word)
    said = "another program wrote for a number" if word in STRANGE else "write a number or a name"
    with pytest.raises(DataError, match=rf"line 5 .*: {column} is '.*{said}"):
        one.load()


@pytest.mark.parametrize(
    "word", ["1-2", "2024-01-05", "p7", "7a", "A,B", "0x1F", "Zo\xe9", "\u096d\u0915"]
)
def test_names_may_hold_digits_and_signs(tmp_path, word):
    one = List(tmp_path)
    all_pids("7", "8", word, word, "21")(one)
    data = one.load()
    assert data.names["test"][data.query[0].pid] == word


@pytest.mark.parametrize("name", ["people.xlsx", "people.json", "people.txt", "people.csv.gz"])
def test_a_table_of_another_format_is_named(name):
    with pytest.raises(ConfigError, match=r"CSV, JSON lines or Parquet.*save it as one of these"):
        entry_of(name)


def test_a_list_in_no_unicode_is_read_as_latin_and_that_is_said(tmp_path):
    one = List(tmp_path)
    all_pids("7", "8", "Zoé", "Zoé", "21")(one)
    one.write()
    one.path.write_bytes(one.path.read_text(encoding="utf-8").encode("latin-1"))
    with pytest.warns(UserWarning, match="not in UTF-8 and is read as Latin-1"):
        data = adv.load_dataset(str(one.path), root=tmp_path)
    assert "Zoé" in data.names["test"]


def test_what_is_not_read_may_be_anything(tmp_path):
    one = List(tmp_path)
    meta = [{"a": 1}, [None, True], False, "x", 2.5]
    rows = [dict(zip(one.head, row, strict=True)) for row in one.rows]
    lines = [json.dumps(row | {"meta": value}) for row, value in zip(rows, meta, strict=True)]
    path = tmp_path / "people.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning, match="columns that are not read: meta"):
        assert seen(adv.load_dataset(str(path), root=tmp_path)) == TRUTH
    path.write_text(lines[0].replace('"7"', "[7, 1]") + "\n")
    with pytest.raises(DataError, match=r"line 1 of .*: pid is \[7, 1\]"):
        adv.load_dataset(str(path), root=tmp_path)


@pytest.mark.parametrize("column", ["pid", "camid"])
def test_names_that_differ_by_case_alone_are_warned_of_once(tmp_path, column):
    one = List(tmp_path)
    for row, word in zip((2, 3, 4), ("Ann", "ann", "Ann"), strict=True):
        one.cell(row, column, word)
    with pytest.warns(
        UserWarning, match=f"line 5 .*{column} 'ann' differs from 'Ann' by case"
    ) as said:
        data = one.load()
    assert sum("by case" in str(warning.message) for warning in said) == 1
    gallery = {record.path.name: getattr(record, column) for record in data.gallery}
    assert gallery["4.jpg"] != gallery["5.jpg"] == getattr(data.query[0], column)


def test_a_whole_image_among_boxes_is_warned_of(tmp_path):
    one = List(tmp_path)
    for name, values in zip("xywh", ("1111 ", "1111 ", "5555 ", "8888 "), strict=True):
        one.column(name, map(str.strip, values))
    with pytest.warns(UserWarning, match="line 6 of .* has no box, and 4 of 5 rows have one"):
        data = one.load()
    assert sorted(record.path.name for record in data.gallery) == ["4_x1y1w5h8.png", "5.jpg"]


def test_boxes_in_a_turned_image_are_warned_of(tmp_path):
    one = List(tmp_path)
    box("1", "1", "9", "5")(one)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    with Image.open(tmp_path / "a/4.jpg") as image:
        image.save(tmp_path / "a/4.jpg", exif=orientation)
    for _ in range(2):  # when the boxes are cut, and when they are read back
        with pytest.warns(UserWarning, match=r"1 of 5 boxes .* an EXIF orientation.*line 5 of "):
            assert any("EXIF" in warning for warning in one.load().warnings)


@pytest.mark.parametrize("column", ["camid", "modality", "tracklet", "protocol"])
@pytest.mark.parametrize("lacking", [0, 3])
def test_a_line_of_json_that_lacks_what_others_tell_is_refused(tmp_path, column, lacking):
    one = List(tmp_path)
    values = {"modality": "rgb", "tracklet": "1", "protocol": "regdb"}
    lines = [dict(zip(one.head, row, strict=True)) | values for row in one.rows]
    del lines[lacking][column]
    path = tmp_path / "people.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    with pytest.raises(
        DataError, match=f"line {lacking + 1} of .* has no {column}, and other rows"
    ):
        adv.load_dataset(str(path), root=tmp_path)


def test_a_missing_image_is_left_out_where_that_is_asked_for(tmp_path):
    from torchreid_adv.data.loading import check_images

    one = List(tmp_path)
    removed(one)
    cfg = config.add_adv_config(config.AdvConfig())
    cfg.adv.job.quarantine = True
    with config.using(cfg):
        data = one.load()
        bad, _ = check_images(data.files())
    config.forget()
    assert list(bad) == ["gallery/4.jpg"]
    assert len(data.without(bad).gallery) == 1


def test_an_unclosed_quote_is_named(tmp_path):
    one = List(tmp_path)
    one.write()
    one.path.write_text(one.path.read_text().replace("a/4.jpg", '"a/4.jpg'))
    with pytest.raises(DataError, match=r"line 5.*are its quotes closed"):
        adv.load_dataset(str(one.path), root=tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"path": "a/3.jpg", "pid": NaN, "camid": 1, "split": "query"}',
            "line 1.*NaN is not a value",
        ),
        ('{"path": "a/3.jpg", "pid": 1, "pid": 2, "split": "query"}', "line 1.*'pid' twice"),
        ('{"path": "a/3.jpg", "pid": true, "split": "query"}', "line 1.*pid is True"),
        ('{"path": "a/3.jpg", "pid": null, "split": "query"}', "line 1.*pid is empty"),
        ('{"path": "a/3.jpg", "pid": 3.0, "split": "query"}', "line 1.*fraction 3.0"),
        ('["a/3.jpg", 1, "query"]', "line 1.*not a JSON object"),
        ('{"path": "a/3.jpg"', "line 1.*cannot be read as JSON"),
    ],
)
def test_a_line_of_json_is_refused_with_its_number(tmp_path, line, said):
    one = List(tmp_path)
    path = tmp_path / "people.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=said):
        adv.load_dataset(str(path), root=tmp_path)
    assert one.rows == ROWS


def test_an_unreadable_image_is_named_before_anything_is_computed(tmp_path):
    from torchreid_adv.data.loading import check_images

    one = List(tmp_path)
    broken(one)
    bad, _ = check_images(one.load().files())
    assert [str(tmp_path / "a/4.jpg") in text for text in bad.values()] == [True]


@pytest.mark.parametrize(
    "pids", [("b", "a", "x", "x", "y"), ("9" * 30, "5", "8" * 30, "8" * 30, "1")]
)
def test_identities_may_be_words_or_of_any_size(tmp_path, pids):
    one = List(tmp_path)
    all_pids(*pids)(one)
    data = one.load()
    assert [record.pid for record in data.train] == [1, 0]  # numbered in sorted order
    assert data.query[0].pid == data.gallery[0].pid != data.gallery[1].pid
    assert data.names["test"][data.query[0].pid] == pids[2]
    assert [data.names["train"][record.pid] for record in data.train] == list(pids[:2])


def test_without_cameras_none_is_left_out_and_that_is_said(tmp_path):
    one = List(tmp_path)
    without("camid")(one)
    with pytest.warns(UserWarning, match="does not tell cameras.*'no_cameras'"):
        data = one.load()
    assert data.protocol == "no_cameras"


def test_an_image_may_not_find_itself(tmp_path):
    one = List(tmp_path)
    again(2, split="gallery")(one)  # junk as Market-1501
    assert len(one.load().gallery) == 3
    one.column("protocol", ["no_cameras"] * 6)
    with pytest.raises(DataError, match=r"line 7 and line 4|line 7.*and.*line 4.*finds itself"):
        one.load()


def test_identities_on_both_sides_are_warned_of(tmp_path):
    one = List(tmp_path)
    one.cell(0, "pid", "20")
    with pytest.warns(UserWarning, match="1 identities in training and in the test: 20"):
        one.load()


def test_columns_that_are_not_read_are_warned_of(tmp_path):
    one = List(tmp_path)
    one.column("remark", "abcde")
    with pytest.warns(UserWarning, match="not read: remark"):
        one.load()


def test_a_list_without_training_rows_is_for_tests(tmp_path):
    from torchreid_adv.integration.hooks import installed
    from torchreid_adv.integration.layout import torchreid_module

    one = List(tmp_path)
    del one.rows[:2]
    data = one.load()
    assert data.train == ()
    assert len(data.gallery) == 2
    options = {"root": str(tmp_path), "height": 16, "width": 8, "use_gpu": False, "workers": 0}
    with installed(), pytest.raises(DataError, match="has no training images; give rows"):
        torchreid_module("data").ImageDataManager(sources=[str(one.path)], **options)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("a b/people.v2.csv", "people.v2"),
        ("list:x/Kunden 1.txt", "Kunden_1"),
        ("folder:shop/", "shop"),
        ("mot:MOT17/train", "MOT17_train"),
        ("FOLDER:shop/query", "shop_query"),
        ("people.CSV", "people"),
    ],
)
def test_a_set_has_a_plain_name(name, label):
    assert entry_of(name).label == label


def test_what_is_no_own_set_stays_a_name():
    for name in ("market1501", "people", "csv", "virtual_a", "lists:people"):
        assert entry_of(name) is None


def test_torchreid_s_own_manager_takes_a_list(tmp_path):
    from torchreid_adv.integration.hooks import installed
    from torchreid_adv.integration.layout import torchreid_module

    one = List(tmp_path)
    one.write()
    options = {"root": str(tmp_path), "height": 16, "width": 8, "use_gpu": False, "workers": 0}
    tables = vars(torchreid_module("data.datasets"))["__image_datasets"]
    with installed():
        manager = torchreid_module("data").ImageDataManager(
            sources=str(one.path), batch_size_train=2, **options
        )
        assert len(next(iter(manager.train_loader))["img"]) == 2
        assert len(manager.test_loader[str(one.path)]["gallery"].dataset) == 2
    assert "people" not in tables


def test_boxes_are_cut_once_and_the_pixels_are_those_of_the_frame(tmp_path):
    one = List(tmp_path)
    for name, value in zip("xywh", ("1.5", "-2", "7.49", "500"), strict=True):
        one.column(name, [value] * 5)
    data = one.load()
    crop = data.gallery[0].path
    frame = np.asarray(Image.open(tmp_path / "a/4.jpg"))
    assert crop.suffix == ".png"
    assert np.array_equal(np.asarray(Image.open(crop)), frame[0:40, 2:9])
    made = crop.stat().st_mtime_ns
    assert one.load().gallery[0].path == crop
    assert crop.stat().st_mtime_ns == made
    one.image("a/4.jpg", 99)  # another frame by the same name is cut again
    other = one.load().gallery[0].path
    assert other != crop
    assert np.array_equal(
        np.asarray(Image.open(other)), np.asarray(Image.open(tmp_path / "a/4.jpg"))[0:40, 2:9]
    )


def test_a_box_may_be_one_column(tmp_path):
    one = List(tmp_path)
    one.column("box", ["1 2 3 4", "[1, 2, 3, 4]", "1;2;3;4", "(1, 2, 3, 4)", ""])
    data = one.load()
    sizes = [Image.open(r.path).size for r in (*data.train, *data.query, *data.gallery)]
    assert sorted(sizes) == [(3, 4)] * 4 + [(60, 40)]


def test_two_people_of_one_frame_are_two_images(tmp_path):
    one = List(tmp_path)
    one.rows[4][0] = "a/4.jpg"
    one.column("box", ["1 2 3 4", "1 2 3 4", "1 2 3 4", "1 2 3 4", "9 2 3 4"])
    assert len(one.load().gallery) == 2
    one.cell(4, "box", "1 2 3 4")
    with pytest.raises(DataError, match=r"box 1 2 3 4.*remove one"):
        one.load()


def test_modalities_and_clothes_and_views_are_told(tmp_path):
    one = List(tmp_path)
    one.column("modality", ["rgb", "ir", "infrared", "visible", "RGB"])
    one.column("clothes", "abcde")
    one.column("view", ["front", "side", "side", "", "front"])
    data = one.load()
    assert [record.modality for record in (*data.query, *data.gallery)] == [1, 0, 0]
    assert [record.clothes for record in data.gallery] == ["d", "e"]
    assert [r.view for r in (*data.train, *data.query, *data.gallery)] == [0, 1, 1, None, 0]
    assert data.names["view"] == ("front", "side")


def test_tracklets_are_in_the_order_of_their_frames(tmp_path):
    one = List(tmp_path)
    one.image("a/6.jpg", 6)
    again(3, path="a/6.jpg")(one)
    one.column("tracklet", ["1"] * 6)
    one.column("frame", [5, 5, 5, 5, 5, 2])
    data = load_tracklets(one)
    assert [[f.path.name for f in r.frames] for r in data.gallery] == [
        ["5.jpg"],
        ["6.jpg", "4.jpg"],
    ]
    one.cell(5, "frame", 5)
    with pytest.raises(DataError, match=r"frame 5 of the tracklet '1'.*number frames once"):
        load_tracklets(one)


def load_tracklets(one):
    one.write()
    options = {"seq_len": 2, "sample_method": "evenly"}
    return adv.load_dataset(str(one.path), root=one.folder / "data", **options)


def test_parquet_is_read_or_asks_for_its_package(tmp_path):
    path = tmp_path / "people.parquet"
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        path.touch()
        with pytest.raises(ConfigError, match="pip install pyarrow; or write it as CSV"):
            adv.load_dataset(str(path), root=tmp_path)
        return
    one = List(tmp_path)
    columns = {name: [row[n] for row in one.rows] for n, name in enumerate(one.head)}
    columns["pid"] = [int(pid) for pid in columns["pid"]]
    parquet.write_table(pyarrow.table(columns), path)
    assert seen(adv.load_dataset(str(path), root=tmp_path)) == TRUTH
    columns["box"] = [[1, 2, 3.0, 4]] * 5
    parquet.write_table(pyarrow.table(columns), path)
    data = adv.load_dataset(str(path), root=tmp_path)
    assert {Image.open(record.path).size for record in data.files()} == {(3, 4)}
    for pids, said in (([1.0] * 5, "row 1.*fraction 1.0"), ([1, 2, None, 3, 3], "row 3.*empty")):
        parquet.write_table(pyarrow.table({**columns, "pid": pids}), path)
        with pytest.raises(DataError, match=said):
            adv.load_dataset(str(path), root=tmp_path)
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read as a Parquet file"):
        adv.load_dataset(str(path), root=tmp_path)


@pytest.mark.parametrize("name", ["list:", "folder:", "mot: "])
def test_a_kind_without_a_place_is_refused(name):
    with pytest.raises(ConfigError, match="names no file or folder"):
        adv.load_dataset(name)


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"people.csv' cannot be read .it is missing."):
        adv.load_dataset(str(tmp_path / "people.csv"))


def test_a_list_named_like_a_known_set_gets_a_name_of_its_own(tmp_path):
    one = List(tmp_path)
    one.path = tmp_path / "market1501.csv"
    assert one.load().name == "market1501_list"


def test_a_config_may_name_a_list_as_it_likes(tmp_path):
    from torchreid_adv.config import torchreid_keys

    one = List(tmp_path)
    one.write()
    cfg = torchreid_keys.default_config()
    cfg.merge_from_list(["adv.data.lists", [f"shop={one.path}"], "data.targets", ["shop"]])
    torchreid_checks.check(cfg)
    assert cfg.data.targets == ["shop"]
    assert seen(adv.load_dataset("shop", root=tmp_path)) == TRUTH
    for item in ("shop", "shop=market1501", "=people.csv", "my shop=people.csv", "a/b=people.csv"):
        cfg.merge_from_list(["adv.data.lists", [item]])
        with pytest.raises(ConfigError, match=r"adv.data.lists has .*; write NAME=FILE.csv"):
            torchreid_checks.check(cfg)
    cfg.merge_from_list(["adv.data.lists", [f"market1501={one.path}"]])
    with pytest.raises(ConfigError, match="'market1501' is a registered data set; give"):
        torchreid_checks.check(cfg)
    config.forget()


def test_a_source_of_the_other_type_is_named_with_its_key():
    from torchreid_adv.cli import command, main
    from torchreid_adv.config import torchreid_keys

    cfg = torchreid_keys.default_config()
    cfg.merge_from_list(["data.type", "video", "data.targets", ["vcm_i2v"]])
    with pytest.raises(ConfigError, match=r"data\.sources names 'market1501', a data set of type"):
        command.print_config(cfg)
    assert main(["attack-gallery", "--dry-run", "data.type", "video"]) == 2
    config.forget()


def test_a_config_keeps_what_a_plain_name_stands_for(tmp_path):
    from torchreid_adv.config import torchreid_keys
    from torchreid_adv.data.own import resolve

    one = List(tmp_path)
    one.write()
    cfg = torchreid_keys.default_config()
    cfg.merge_from_list(["data.targets", [str(one.path)]])
    resolve(cfg)
    assert cfg.data.targets == ["people"]
    assert cfg.adv.data.lists == [f"people=list:{one.path}"]
    resolve(cfg)  # again changes nothing
    assert cfg.adv.data.lists == [f"people=list:{one.path}"]
    other = List(tmp_path / "other")
    other.write()
    cfg.merge_from_list(["data.targets", [str(other.path)]])
    with pytest.raises(ConfigError, match="would both be the data set 'people'; name one"):
        resolve(cfg)
    config.forget()
