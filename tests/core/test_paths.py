import os
from pathlib import Path

import pytest

from torchreid_adv.core.files import inside, name_fault
from torchreid_adv.errors import DataError

PLAIN = [
    "query/0001_c1s1_000151_01.png",
    "a.png",
    "deep/er/still/a b (1).png",
    "..a/b..c/...d.png",
    "=1+1.png",
    "-rf.png",
    "人/é.png",
    "console/auxiliary.png",
    "a" * 236 + ".png",
]
ELSEWHERE = [
    "", ".", "..", "../a", "a/../b", "a/..", "./a", "a//b", "a/", "/etc/passwd", "//host/share",
    "C:/a", "C:a", "a.png:stream", "..\\a", "\\\\host\\share", "a\\..\\..\\b",
    "a\0.png", "a\n.png", "a\x1b[2J.png", "a\u202egnp.exe", "a\udcff.png", "a\ud800.png",
    "CON", "con.png", "query/Nul.tar.gz", "COM1", "lpt9.png", "com\u00b9.png", "AUX .png",
    "a./b.png", "a.png.", "a.png ", ". ./b", ".. /b",
    "a" * 241, "é" * 121, "a/" * 600 + "b",
]  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_a_path_below_the_folder(tmp_path, name):
    assert inside(tmp_path, name) == tmp_path / name
    assert inside(str(tmp_path), name) == tmp_path / name


@pytest.mark.parametrize("name", ELSEWHERE, ids=ascii)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="cannot be used in") as caught:
        inside(tmp_path, name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("name", [None, 3, b"a", ["a"], {}])
def test_what_is_no_text_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="cannot be used in"):
        inside(tmp_path, name)


def test_links_that_lead_out_are_refused(tmp_path):
    root, other = tmp_path / "root", tmp_path / "root2"
    for folder in (root / "query", other):
        folder.mkdir(parents=True)
    (other / "a.png").write_bytes(b"")
    (root / "query" / "b.png").write_bytes(b"")
    (root / "file.png").symlink_to(other / "a.png")
    (root / "folder").symlink_to(other)
    (root / "up").symlink_to("..")
    (root / "chain").symlink_to("folder")
    (root / "nothing").symlink_to(tmp_path / "not there")
    for name in ("file.png", "folder/a.png", "folder/new.png", "up/x", "chain/a.png", "nothing"):
        with pytest.raises(DataError, match="symbolic link that leads out"):
            inside(root, name)


def test_links_that_stay_inside_are_followed(tmp_path):
    (tmp_path / "root" / "query").mkdir(parents=True)
    (tmp_path / "root" / "same").symlink_to("query")
    (tmp_path / "alias").symlink_to("root")
    assert inside(tmp_path / "root", "same/a.png") == tmp_path / "root" / "same" / "a.png"
    assert inside(tmp_path / "alias", "query/a.png") == tmp_path / "alias" / "query" / "a.png"


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert inside(tmp_path, "a/x.png") == tmp_path / "a" / "x.png"  # whoever opens it fails
    with pytest.raises(OSError, match="symbolic links"):
        inside(tmp_path, "a/x.png").read_bytes()


def test_a_folder_given_relative_to_the_working_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("run")
    assert inside("run", "a.png") == Path("run/a.png")
    assert inside(".", "a.png") == Path("a.png")


def test_the_fault_of_a_good_name_is_empty():
    assert [name_fault(name) for name in PLAIN] == [""] * len(PLAIN)
