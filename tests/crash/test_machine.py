"""What a machine can do to a job: take its memory, its streams, its folder, or its disk."""

import json
import shutil
import signal

import pytest
from kinds import KINDS, arguments, done_twice, kept
from leftovers import left

CANNOT = 77  # exit code of a process that may not mount
CRASHED = -signal.SIGSEGV  # native code does not check each allocation


@pytest.mark.parametrize("megabytes", [4, 12, 40])
def test_a_job_without_memory_ends_and_goes_on(megabytes, jobs, whole, tmp_path):
    jobs.said()
    (code,) = jobs.run(tmp_path, memory=megabytes * 2**20)
    said = jobs.said()
    assert code in (0, 5, CRASHED), said
    assert "Traceback" not in said
    assert code or megabytes > 4
    if code == 5:
        assert "not enough memory" in said or "Cannot allocate memory" in said
    assert jobs.run(tmp_path) == [0], jobs.said()
    assert left(tmp_path) == whole[0]


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_closed_streams_change_nothing(closed, jobs, whole, tmp_path):
    assert jobs.run(tmp_path, closed=closed) == [0], jobs.said()
    assert left(tmp_path) == whole[0]


@pytest.mark.parametrize("removed", ["", "market1501/.job", "market1501/adversarial", "market1501"])
@pytest.mark.parametrize("world", [1, 2])
def test_a_folder_that_vanishes_is_never_a_success(removed, world, jobs, whole, tmp_path):
    out = tmp_path / "out"
    jobs.said()
    order = {"delay": 60, "images": 6, "within": str(out), "remove": str(out / removed)}
    codes = jobs.run(out, world=world, **order)
    said = jobs.said()
    assert set(codes) <= {5, 143, -15}, said
    assert 5 in codes, said
    assert "Shard" not in said
    assert "Traceback" not in said
    shutil.rmtree(out, ignore_errors=True)  # where one was written to while it was removed
    assert jobs.run(out) == [0], jobs.said()
    assert left(out) == whole[0]


def test_files_that_vanish_are_made_again(jobs, whole, tmp_path):
    assert jobs.run(tmp_path) == [0]
    folder = tmp_path / "market1501"
    shutil.rmtree(folder / ".job")
    assert jobs.run(tmp_path) == [0], jobs.said()
    assert left(tmp_path) == whole[0]
    for path in list(folder.rglob("*.png"))[:9]:
        path.unlink()
    jobs.said()
    assert jobs.run(tmp_path) == [0]
    assert "recorded units are missing or changed" in jobs.said()
    assert left(tmp_path) == whole[0]
    (tmp_path / "run.json").unlink()
    assert jobs.run(tmp_path) == [2]
    said = jobs.said()
    assert f"'{tmp_path}/run.json' is missing" in said
    assert "another run" not in said


def test_a_shard_whose_folder_vanishes_is_not_done(jobs, tmp_path):
    out = tmp_path / "out"
    order = {"delay": 60, "images": 3, "within": str(out), "remove": str(out)}
    jobs.said()
    assert jobs.run(out, "adv.job.shard", "0/2", **order) == [5]
    assert "Shard" not in jobs.said()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("nul\0", 2, "NUL"), ("file", 5, "Not a directory"), ("link", 5, "does not exist")],
)
@pytest.mark.parametrize("kind", ["attack-gallery", "training"])
def test_folders_that_cannot_be_are_sentences(kind, name, code, words, jobs, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    out = f"{tmp_path}/{name}"
    if kind == "training":
        line = arguments(kind, jobs, tmp_path / "place")
        line[line.index("data.save_dir") + 1] = out
    jobs.said()
    assert (jobs.run(out) if kind != "training" else jobs.command(line)) == [code]
    said = jobs.said()
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize("where", ["import", "build", "forward"])
def test_a_plugin_that_exits_is_no_success(where, jobs, tmp_path):
    (tmp_path / "data").mkdir()
    jobs.said()
    options = ["adv.plugins", "['leaving_plugin']", "model.name", f"leaves_at_{where}"]
    if where == "import":
        options = ["adv.plugins", "['leaving_module']"]
    assert jobs.run(tmp_path / "out", *options) == [2]
    said = jobs.said()
    assert "called sys.exit(0)" in said
    assert f"leaving_{'module' if where == 'import' else 'plugin'}.py, line" in said
    assert "Traceback" not in said


def test_a_finished_run_is_read_from_a_disk_that_cannot_be_written(jobs, tmp_path):
    assert jobs.run(tmp_path, page=True) == [0], jobs.said()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    results = json.loads((tmp_path / "results.json").read_text())
    jobs.said()
    codes = jobs.run(tmp_path, page=True, read_only=str(tmp_path))
    said = jobs.said()
    if codes == [CANNOT]:
        pytest.skip("this process may not mount")
    assert codes == [0], said
    mean = results["targets"]["market1501"]["adversarial"]["mAP"]
    assert f"{100 * mean:.1f}%" in said
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "training" not in kind])
def test_finished_work_of_every_kind_is_read(kind, jobs, undisturbed):
    expected, place = undisturbed(kind)[0], jobs.fresh(kind)
    assert jobs.command(arguments(kind, jobs, place)) == [0], jobs.said()
    jobs.said()
    codes = jobs.command(arguments(kind, jobs, place), read_only=str(place))
    if codes == [CANNOT]:
        pytest.skip("this process may not mount")
    assert codes == [0], jobs.said()
    assert kept(place) == expected


@pytest.mark.parametrize(
    "pairs", [pytest.param(2, id="some"), pytest.param(20, id="full", marks=pytest.mark.slow)]
)
def test_pairs_of_processes_in_one_folder(pairs, jobs, whole, tmp_path):
    for number in range(pairs):
        out = tmp_path / str(number)
        assert jobs.run_pair(out) == [0, 0], jobs.said()
        assert left(out) == whole[0]
        assert done_twice(out) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_pairs_of_every_kind(kind, jobs, undisturbed, capsys):
    expected, seen = undisturbed(kind)[0], []
    for _ in range(20):
        place = jobs.fresh(kind)
        codes = jobs.command(arguments(kind, jobs, place), [{}, {}], apart=True)
        assert sorted(codes) in ([0, 0], [0, 2]), jobs.said()
        found = kept(place)
        assert found == expected, [n for n in expected if found.get(n) != expected[n]]
        seen += codes
    with capsys.disabled():
        print(f"\n{kind}: 20 pairs, exit codes {sorted(set(seen))}, same bytes")
