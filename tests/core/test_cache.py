"""What is kept is found by all that decides it, whole or not at all."""

import contextlib
import json
import threading
from datetime import datetime

import pytest

from torchreid_adv.core import cache as caches
from torchreid_adv.core import facts
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.provenance import FIELD, called, without
from torchreid_adv.errors import ConfigError

FACTS = {"weights": "a" * 64, "eps": 8.0, "data": {"gallery": ["x", "y"], "seed": 0}}


def computed(count):
    def compute():
        count.append(1)
        return {"mAP": 0.5, "cmc": {"1": float("nan")}}

    return compute


def test_a_result_is_computed_once(tmp_path):
    count, cache = [], Cache(tmp_path)
    first = cache.json("cell", Key.of(**FACTS), computed(count))
    again = cache.json("cell", Key.of(**FACTS), computed(count))
    assert len(count) == 1
    assert json.dumps(first) == json.dumps(again)
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["key"] == {"format": facts.FORMAT, **FACTS}


@pytest.mark.parametrize(
    "changed",
    [
        {"weights": "b" * 64},
        {"eps": 8.5},
        {"eps": None},
        {"data": {"gallery": ["y", "x"], "seed": 0}},
        {"data": {"gallery": ["x", "y"], "seed": False}},
        {"data": {"gallery": ["x", "y"]}},
        {"new": None},
    ],
)
def test_each_fact_decides(tmp_path, changed):
    count, cache = [], Cache(tmp_path)
    cache.json("cell", Key.of(**FACTS), computed(count))
    if changed.get("data", {}).get("seed") is False:
        assert Key.of(**{**FACTS, **changed}).digest != Key.of(**FACTS).digest
    cache.json("cell", Key.of(**{**FACTS, **changed}), computed(count))
    assert len(count) == 2


def test_another_format_is_never_found(tmp_path, monkeypatch):
    count, cache = [], Cache(tmp_path)
    cache.json("cell", Key.of(**FACTS), computed(count))
    monkeypatch.setattr(facts, "FORMAT", facts.FORMAT + 1)
    cache.json("cell", Key.of(**FACTS), computed(count))
    assert len(count) == 2
    assert len(list(tmp_path.iterdir())) == 2  # the old one stays


def test_a_file_that_was_cut_off_is_computed_again(tmp_path):
    count, cache = [], Cache(tmp_path)
    cache.json("cell", Key.of(**FACTS), computed(count))
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:40])
    assert cache.json("cell", Key.of(**FACTS), computed(count))["mAP"] == 0.5
    assert len(count) == 2


def test_another_s_result_under_this_name_is_refused_and_left(tmp_path):
    """The facts are compared in full, not only their hash."""
    cache = Cache(tmp_path)
    cache.json("cell", Key.of(**FACTS), computed([]))
    (path,) = tmp_path.iterdir()
    content = json.loads(path.read_text())
    content["key"]["eps"] = 4.0
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"eps 4\.0 there, 8\.0 here.*remove it"):
        cache.json("cell", Key.of(**FACTS), computed([]))
    assert json.loads(path.read_text()) == content


def filled(text):
    return lambda folder: (folder / "weights").write_text(text)


def test_a_folder_is_made_once_and_says_what_decides_it(tmp_path):
    cache, key = Cache(tmp_path), Key.of(**FACTS)
    path = cache.folder("model", key, filled("first"))
    assert cache.folder("model", key, filled("second")) == path == cache.path("model", key)
    assert (path / "weights").read_text() == "first"
    assert json.loads((path / "key.json").read_text())["eps"] == 8.0
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("place", ["make", "_flush", "_into_place"])
def test_a_kill_before_the_renaming_leaves_nothing_that_is_found(tmp_path, monkeypatch, place):
    def killed(*arguments):
        raise KeyboardInterrupt

    cache, key = Cache(tmp_path), Key.of(**FACTS)
    if place != "make":
        monkeypatch.setattr(caches, place, killed)
    monkeypatch.setattr(caches, "removed_after", contextlib.nullcontext)  # as after a real kill
    with pytest.raises(KeyboardInterrupt):
        cache.folder("model", key, killed if place == "make" else filled("half"))
    monkeypatch.undo()
    assert not cache.path("model", key).exists()
    path = cache.folder("model", key, filled("whole"))
    assert (path / "weights").read_text() == "whole"


def test_of_two_that_make_the_same_one_wins_and_both_read_it(tmp_path):
    key, barrier, found = Key.of(**FACTS), threading.Barrier(2), {}

    def work(name):
        def make(folder):
            filled(name)(folder)
            barrier.wait()

        found[name] = Cache(tmp_path).folder("model", key, make)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found["one"] == found["two"]
    assert (found["one"] / "weights").read_text() in ("one", "two")
    assert [path.name for path in tmp_path.iterdir()] == [found["one"].name]


def test_a_folder_of_other_facts_under_this_name_is_refused(tmp_path):
    cache, key = Cache(tmp_path), Key.of(**FACTS)
    path = cache.folder("model", key, filled("one"))
    (path / "key.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        cache.folder("model", key, filled("two"))
    assert (path / "weights").read_text() == "one"


def test_a_claimed_folder_is_one_run_s(tmp_path):
    cache, key = Cache(tmp_path / "run"), Key.of(**FACTS)
    assert not cache.check(key)
    cache.claim(key)
    assert cache.check(key)
    cache.claim(key)
    changed = {**FACTS, "eps": 4.0, "data": {**FACTS["data"], "seed": 1}, "new": "x"}
    with pytest.raises(ConfigError) as error:
        cache.claim(Key.of(**changed))
    said = str(error.value)
    assert "belongs to another run" in said
    assert "data.seed 0 there, 1 here" in said
    assert "eps 8.0 there, 4.0 here" in said
    assert "new not set there, 'x' here" in said
    assert said.endswith("choose another data.save_dir or remove it")
    assert cache.check(key)  # left as it was


def test_where_a_run_comes_from_is_noted_and_decides_nothing(tmp_path):
    cache, key = Cache(tmp_path), Key.of(**FACTS)
    with called("one command"), called("a call inside it"):
        cache.claim(key)
    noted = json.loads((tmp_path / "run.json").read_text())
    assert without(noted) == key.facts
    origin = noted[FIELD]
    assert origin["command"] == "one command"
    assert datetime.fromisoformat(origin["date"]).tzinfo is not None
    assert origin["versions"].keys() >= {"torch", "torchreid", "numpy", "torchreid_adv"}
    assert origin["device"]
    for other in ({"command": "x"}, None, [1]):  # another day, another command, or damaged
        (tmp_path / "run.json").write_text(json.dumps({**noted, FIELD: other}))
        assert cache.check(key)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"version": "0.9.0", "sha256": "0"}', "an earlier version wrote it"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_old_and_damaged_folders_are_refused_and_left(tmp_path, content, words):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ConfigError, match=words):
        Cache(tmp_path).claim(Key.of(**FACTS))
    assert (tmp_path / "run.json").read_text() == content


def test_what_is_no_plain_value_is_never_left_out():
    class Odd:
        __slots__ = ("inside",)

        def __init__(self, inside):
            self.inside = inside

    assert Key.of(odd=Odd(1)).digest != Key.of(odd=Odd(2)).digest
