"""Files are read once, and again whenever they may have changed."""

import os
import time

import pytest

from torchreid_adv.core import contents as module
from torchreid_adv.core.contents import Contents, file_digest
from torchreid_adv.core.manifest import sha256
from torchreid_adv.errors import ConfigError


@pytest.fixture
def read(monkeypatch):
    """The paths that are read, from files that count as old."""
    seen, digest = [], module.digest_of
    monkeypatch.setattr(module, "SETTLED", -1)
    monkeypatch.setattr(module, "_known", {})
    monkeypatch.setattr(module, "digest_of", lambda path: seen.append(path) or digest(path))
    return seen


def test_a_file_is_read_once(tmp_path, read):
    path = tmp_path / "a"
    path.write_bytes(b"content")
    assert [Contents().of([path])[0] for _ in range(3)] == [sha256(b"content")] * 3
    assert len(read) == 1


def test_what_was_learned_on_the_way_is_not_read(tmp_path, read):
    path = tmp_path / "a"
    path.write_bytes(b"content")
    contents = Contents()
    contents.learn(path, module.stamp_of(path), sha256(b"content"))
    assert contents.of([path]) == [sha256(b"content")]
    assert not read


def test_a_store_is_read_by_the_next_process(tmp_path, read):
    path, folder = tmp_path / "a", tmp_path / "kept"
    path.write_bytes(b"content")
    contents = Contents(folder)
    contents.of([path])
    contents.keep()
    module._known.clear()
    again = Contents(folder)
    assert again.of([path]) == [sha256(b"content")]
    assert len(read) == 1
    again.keep()  # and keeps what it did not ask for
    module._known.clear()
    other = Contents(folder)
    other.keep()
    module._known.clear()
    assert Contents(folder).of([path]) == [sha256(b"content")]
    assert len(read) == 1


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)


def rewritten(path):
    before = path.stat()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [replaced, rewritten])
def test_a_change_is_noticed_though_size_and_mtime_are_the_same(tmp_path, read, change):
    path = tmp_path / "a"
    path.write_bytes(b"content")
    before, time_before = Contents().of([path]), path.stat().st_mtime_ns
    time.sleep(0.05)
    change(path)
    assert path.stat().st_mtime_ns == time_before
    assert Contents().of([path]) == [sha256(b"CONTENT")] != before


def test_a_young_file_is_read_each_time(tmp_path, read, monkeypatch):
    """It could change again within the resolution of the file system's clock."""
    monkeypatch.setattr(module, "SETTLED", 2_000_000_000)
    path = tmp_path / "a"
    path.write_bytes(b"content")
    Contents().of([path])
    Contents().of([path])
    assert len(read) == 2


def test_a_damaged_store_is_as_none(tmp_path, read):
    path = tmp_path / "a"
    path.write_bytes(b"content")
    for text in ("{", "[]", '{"format": 1, "files": {"a": [1]}}', '{"format": 0, "files": {}}'):
        (tmp_path / "files.json").write_text(text)
        assert Contents(tmp_path).of([path]) == [sha256(b"content")]


def test_what_cannot_be_read_has_no_hash(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    assert Contents().of([tmp_path / "none", tmp_path / "pipe", tmp_path]) == ["", "", ""]
    with pytest.raises(ConfigError, match=r"cannot read the weights '.*none'"):
        file_digest(tmp_path / "none", "the weights")
