import json
import multiprocessing
import os
import signal
import threading
from collections import defaultdict

import cv2
import pytest

from torchreid_adv.data.virtual import contact_sheet, folder
from torchreid_adv.data.virtual import render as render_module
from torchreid_adv.data.virtual.folder import VirtualOptions
from torchreid_adv.data.virtual.render import render_dataset
from torchreid_adv.errors import ConfigError

SMALL = VirtualOptions(
    train_identities=3,
    test_identities=3,
    cameras_per_identity=2,
    images_per_camera=2,
    distractors=4,
)


def contents(place):
    return {
        p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return render_dataset(tmp_path_factory.mktemp("root"), "virtual_a", SMALL)


def test_the_layout_and_the_counts(rendered):
    record = json.loads((rendered / "render.json").read_text())
    assert record["counts"] == {"bounding_box_train": 12, "query": 6, "bounding_box_test": 10}
    for split, count in record["counts"].items():
        assert len(list((rendered / split).glob("*.jpg"))) == count
    assert rendered.name == f"virtual_a-{SMALL.digest()}"
    assert os.listdir(rendered.parent) == [rendered.name]
    image = cv2.imread(str(next((rendered / "query").iterdir())))
    assert image.shape == (128, 64, 3)


def test_people_of_training_and_test_are_disjoint_and_queries_have_matches(rendered):
    seen = defaultdict(lambda: defaultdict(set))
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        for path in (rendered / split).iterdir():
            pid, camera = path.name.split("_")[:2]
            seen[split][int(pid)].add(camera[:2])
    assert sorted(seen["bounding_box_train"]) == [1, 2, 3]
    assert sorted(seen["query"]) == [4, 5, 6]
    assert sorted(seen["bounding_box_test"]) == [0, 4, 5, 6]
    for pid, cameras in seen["query"].items():
        for camera in cameras:
            assert seen["bounding_box_test"][pid] - {camera}


def test_the_same_bytes_from_any_number_of_processes(rendered, tmp_path):
    assert contents(render_dataset(tmp_path, "virtual_a", SMALL, workers=2)) == contents(rendered)


def test_a_rendered_set_is_not_rendered_again(rendered, monkeypatch):
    monkeypatch.setattr(render_module, "encode", lambda *_: pytest.fail("rendered again"))
    assert render_dataset(rendered.parent, "virtual_a", SMALL) == rendered


def test_opencv_s_threads_are_left_as_they_were(tmp_path):
    before = cv2.getNumThreads()
    render_dataset(tmp_path, "virtual_b", SMALL)
    assert cv2.getNumThreads() == before


def test_default_options_have_the_plain_name(tmp_path):
    assert folder.folder_of(tmp_path, "virtual_a", VirtualOptions()).name == "virtual_a"


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path):
    place = folder.folder_of(tmp_path, "virtual_a", SMALL)
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"in the way.*rename it"):
        render_dataset(tmp_path, "virtual_a", SMALL)
    assert contents(place) == {"mine.txt": b"mine"}


def test_another_version_is_refused(rendered, monkeypatch):
    monkeypatch.setattr(folder, "VERSION", folder.VERSION + 1)
    with pytest.raises(ConfigError, match="renderer version"):
        render_dataset(rendered.parent, "virtual_a", SMALL)


def test_a_root_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="give a --root"):
        render_dataset(tmp_path / "file" / "root", "virtual_a", SMALL)


def test_an_error_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    stock, calls = render_module.encode, []

    def fail(*key):
        calls.append(key)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return stock(*key)

    monkeypatch.setattr(render_module, "encode", fail)
    with pytest.raises(KeyboardInterrupt):
        render_dataset(tmp_path, "virtual_a", SMALL)
    assert list(tmp_path.iterdir()) == []


def killed_in_the_middle(root):
    stock, calls = render_module.encode, []

    def encode(*key):
        calls.append(key)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return stock(*key)

    render_module.encode = encode
    render_dataset(root, "virtual_a", SMALL)


def test_a_killed_run_leaves_no_set_and_its_rest_is_removed_by_the_next(tmp_path):
    run = multiprocessing.get_context("fork").Process(target=killed_in_the_middle, args=(tmp_path,))
    run.start()
    run.join()
    assert run.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    assert len(list(tmp_path.glob(".*.lock.*"))) == 1
    place = render_dataset(tmp_path, "virtual_a", SMALL)
    assert list(tmp_path.iterdir()) == [place]


def test_two_at_once_do_not_break_each_other(tmp_path):
    results, errors = [], []

    def work():
        try:
            results.append(render_dataset(tmp_path, "virtual_a", SMALL))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(results)) == 1
    assert os.listdir(tmp_path) == [results[0].name]


def test_the_loser_of_a_race_takes_the_winner_s_set(tmp_path):
    record = folder.record_of("virtual_a", SMALL)
    place = folder.folder_of(tmp_path, "virtual_a", SMALL)
    with folder.new_folder(place, record) as work:
        folder.write_record(work, record, {})
        (work / "late").write_text("")
        winner = render_dataset(tmp_path, "virtual_a", SMALL)
    assert not (winner / "late").exists()
    assert len(contents(winner)) == 29
    assert os.listdir(tmp_path) == [winner.name]


def test_the_folder_is_as_open_as_any_new_one(rendered, tmp_path):
    (tmp_path / "new").mkdir()
    assert rendered.stat().st_mode == (tmp_path / "new").stat().st_mode


def test_a_contact_sheet_shows_people_by_cameras(tmp_path):
    path = contact_sheet("virtual_c", VirtualOptions(), path=tmp_path / "sheet.png", identities=2)
    sheet = cv2.imread(str(path))
    assert sheet.shape[0] == 2 * (2 * 128 + 4)
    assert sheet.shape[1] == 4 * (2 * 64 + 4)
