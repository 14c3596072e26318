import os

import pytest

from torchreid_adv.core.batch import chunks, filled
from torchreid_adv.core.files import atomic_file, write_text


def test_a_file_is_whole_and_readable(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "whole")
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "b.txt"
    write_text(path, "old")

    def write_half():
        with atomic_file(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_chunks_are_filled_by_the_last_item():
    assert chunks("abcde", 2) == [["a", "b"], ["c", "d"], ["e"]]
    assert chunks("", 2) == []
    assert filled("ab", 4) == ["a", "b", "b", "b"]
