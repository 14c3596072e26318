"""Lists and ground truth with random bytes: read, or refused in a sentence, never a traceback."""

import random
import warnings

import pytest
from own_sets import picture, write_mot

import torchreid_adv as adv
from torchreid_adv.errors import AdvError

ROWS = [("a.jpg", 7, 1, "train"), ("b.jpg", 20, 1, "query"), ("c.jpg", 20, 2, "gallery")]
CSV = "path,pid,camid,split,x,y,w,h\n" + "".join(
    f"{path},{pid},{camid},{split},1,2,6,7\n" for path, pid, camid, split in ROWS
)
JSON = "".join(
    f'{{"path": "{path}", "pid": {pid}, "camid": {camid}, "split": "{split}"}}\n'
    for path, pid, camid, split in ROWS
)
TOKENS = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b";",
    b"-1",
    b"nan",
    b"1e9",
    b"9" * 400,
    b"{",
    b"]",
)
TOKENS += (b"..", b"/", b"\\", b"\xe2\x80\xa8", b" ", b"train", b"query", b"null", b"0x1", b"")


def mutated(data, draws):
    """Replace, insert or remove a few pieces."""
    for _ in range(draws.randint(1, 4)):
        at = draws.randrange(len(data))
        data = data[:at] + draws.choice(TOKENS) + data[at + draws.randint(0, 4) :]
    return data


def outcome(name, root):
    """Return whether a set is read; an error has to be one of ours, on one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data, said = None, ""
        try:
            data = adv.load_dataset(name, root=root)
        except AdvError as error:
            said = str(error)
    assert bool(said) != (data is not None)
    assert "\n" not in said
    assert data is None or (data.query and data.gallery)
    return data is not None


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_random_changes_of_a_list_raise_nothing_but_ours(tmp_path, suffix):
    for number, (path, *_) in enumerate(ROWS):
        (tmp_path / path).write_bytes(picture(number, (16, 12)))
    original = (CSV if suffix == "csv" else JSON).encode()
    path, read = tmp_path / f"people.{suffix}", 0
    path.write_bytes(original)
    assert outcome(str(path), tmp_path)
    for seed in range(300):
        path.write_bytes(mutated(original, random.Random(seed)))
        read += outcome(str(path), tmp_path)
    assert 0 < read < 300


def test_random_changes_of_ground_truth_raise_nothing_but_ours(tmp_path):
    write_mot(tmp_path / "S1", frames=30, people=(1, 2))
    path, read = tmp_path / "S1/gt/gt.txt", 0
    original = path.read_bytes()
    for seed in range(120):
        path.write_bytes(mutated(original, random.Random(seed)))
        read += outcome(f"mot:{tmp_path / 'S1'}", tmp_path)
    assert 0 < read < 120
