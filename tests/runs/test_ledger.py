import random

import pytest

from torchreid_adv.runs.plan import Ledger


def fill(folder, units):
    ledger = Ledger(folder)
    for unit in units:
        ledger.append(unit, {"name": f"unit {unit}"}, bytes([unit]) * 100)
    ledger.close()


def facts(folder):
    return {n: (d.facts["name"], d.data()) for n, d in Ledger(folder).replay().items()}


def expected(units):
    return {unit: (f"unit {unit}", bytes([unit]) * 100) for unit in units}


def test_what_is_recorded_is_replayed_from_all_files(tmp_path):
    assert Ledger(tmp_path / "none").replay() == {}
    fill(tmp_path, [3, 1])
    fill(tmp_path, [2])
    assert len(list(tmp_path.iterdir())) == 2
    assert facts(tmp_path) == expected([1, 2, 3])


def test_data_is_read_in_parts(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.append(0, {}, bytes(range(50)))
    ledger.append(1, {}, b"other")
    ledger.close()
    done = Ledger(tmp_path).replay()[0]
    assert done.data(10, 5) == bytes(range(10, 15))
    assert done.data(45) == bytes(range(45, 50))


def test_nothing_is_written_before_the_first_record(tmp_path):
    Ledger(tmp_path / "new").close()
    assert not (tmp_path / "new").exists()


def test_a_file_cut_off_anywhere_keeps_what_is_whole(tmp_path):
    fill(tmp_path, range(4))
    path = next(tmp_path.iterdir())
    content = path.read_bytes()
    size = len(content) // 4
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert facts(tmp_path) == expected(range(length // size))


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_bit_ends_the_file(tmp_path, seed):
    fill(tmp_path, range(4))
    path = next(tmp_path.iterdir())
    content = bytearray(path.read_bytes())
    place = random.Random(seed).randrange(len(content))
    content[place] ^= 1 << random.Random(seed).randrange(8)
    path.write_bytes(content)
    assert facts(tmp_path) == expected(range(place // (len(content) // 4)))
