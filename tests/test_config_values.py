"""What a value means is decided by its key: every string stays one, every path has its home."""

import os

import pytest
import torch
import yaml

from torchreid_adv import cli, config
from torchreid_adv.cli import command
from torchreid_adv.cli.command import make_parser, merged_config
from torchreid_adv.config.keys import KEYS, PATHS, STOCK_LISTS
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.config.tree import DECLARED
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import DISTANCES, TRANSFORMS
from torchreid_adv.runs import torchreid_checks

DEFAULTS = dict(config.leaves(default_config()))
config.forget()
STRINGS = [key for key, value in DEFAULTS.items() if isinstance(value, str)]
NUMBERS = [
    key
    for key, value in DEFAULTS.items()
    if type(value) in (int, float)
    or (key in DECLARED and DECLARED[key].kind in (int, float) and value is None)
]
BOOLS = [key for key, value in DEFAULTS.items() if isinstance(value, bool)]
LISTS = [
    key
    for key, value in DEFAULTS.items()
    if isinstance(value, list) and ((value and isinstance(value[0], str)) or not value)
    and not (key in DECLARED and DECLARED[key].kind is float)
]  # fmt: skip
SPELLINGS = (
    "2024.10", "1e5", "None", "True", "false", "[x]", "0x10", "1_000", "007", "1.0", "null", ".5",
    "{a: 1}", "(1, 2)", "'", "it's", "b'x'", "nan", "-1", "1/2", "2024-10-01", "12:30:00", "yes",
    "9" * 5000, " x ", "#x", "a=b", "...", "",
)  # fmt: skip
# by these YAML means something else, unless they stand in quotes
NO_YAML = ("null", "{a: 1}", "[x]", "", "#x", " x ", "9" * 5000)


@pytest.fixture
def cfg():
    tree = default_config()
    yield tree
    config.forget()


def merge_and_check(cfg, key, value):
    cfg.merge_from_list([key, value])
    torchreid_checks.check(cfg)
    config.setup(cfg)


def from_file(cfg, tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    cfg.merge_from_file(str(path))


@pytest.mark.parametrize("text", ["'2024.10'", '"a b"', "'None'", '"it\'s"'])
def test_quotes_around_a_value_are_not_part_of_it(cfg, text):
    for key in ("data.save_dir", "model.name"):
        cfg.merge_from_list([key, text])
        assert config.lookup(cfg, key) == text[1:-1]


def test_a_string_stays_what_was_written(cfg):
    for key in STRINGS:
        for text in SPELLINGS:
            cfg.merge_from_list([key, text])
            assert config.lookup(cfg, key) == text, key


@pytest.mark.parametrize("text", [text for text in SPELLINGS if text not in NO_YAML])
def test_a_string_of_a_file_stays_what_was_written(cfg, tmp_path, text):
    tree = {}
    for key in STRINGS:
        *path, name = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[name] = "@here"
    plain = text if text[0] != "'" else f'"{text}"'
    from_file(cfg, tmp_path, yaml.safe_dump(tree).replace("'@here'", plain))
    assert {key: config.lookup(cfg, key) for key in STRINGS} == dict.fromkeys(STRINGS, text)


def test_a_word_where_a_list_is_expected_stays_a_word(cfg):
    for key in LISTS:
        for text in ("2024.10", "1e5", "None", "0x10", "a"):
            cfg.merge_from_list([key, text])
            assert config.lookup(cfg, key) == [text]
        for text in ("['a', 'b']", "[a, b]", '["a","b"]', "('a', 'b')"):
            cfg.merge_from_list([key, text])
            assert config.lookup(cfg, key) == ["a", "b"]
        with pytest.raises(ConfigError, match=f"'{key}' takes a list of strings, got the number"):
            cfg.merge_from_list([key, "['a', 2024.10]"])


def test_the_table_of_torchreids_lists_of_strings_is_whole():
    stock = {key for key in LISTS if not key.startswith("adv.")}
    assert stock == set(STOCK_LISTS)


@pytest.mark.parametrize("text", ["true", "TRUE", "True", "yes", "on", "false", "No", "OFF"])
def test_a_bool_in_any_case(cfg, tmp_path, text):
    wanted = text.lower() in ("true", "yes", "on")
    for key in BOOLS:
        cfg.merge_from_list([key, text])
        assert config.lookup(cfg, key) is wanted
    from_file(cfg, tmp_path, f"data: {{combineall: {text}}}\ntest: {{rerank: '{text}'}}")
    assert cfg.data.combineall is cfg.test.rerank is wanted


@pytest.mark.parametrize("text", ["1", "0", "maybe", "None", "[True]", "", "t"])
def test_what_is_no_bool_is_a_sentence(cfg, text):
    for key in BOOLS:
        with pytest.raises(ConfigError, match=f"'{key}' takes a bool .True or False."):
            cfg.merge_from_list([key, text])


@pytest.mark.parametrize(
    "text", ["1" + "0" * 400, "0x" + "f" * 5000, "-1" + "0" * 5000, "nan", "inf", "1e400"]
)
def test_a_number_that_is_none_is_a_sentence(cfg, text):
    for key in NUMBERS:
        before = config.lookup(cfg, key)
        with pytest.raises(ConfigError, match=key):
            merge_and_check(cfg, key, text)
        cfg.merge_from_list([key, before])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("key", ["adv.transforms.lgt.p", "adv.attack.options.x", "adv.zoo.a"])
def test_a_number_that_is_none_is_a_sentence_where_nothing_is_declared(cfg, key, value):
    with pytest.raises(ConfigError, match=key.rpartition(".")[0]):
        merge_and_check(cfg, key, value)


@pytest.mark.parametrize("key", sorted(PATHS))
@pytest.mark.parametrize("how", ["pairs", "file", "assigned"])
def test_every_path_has_its_home(cfg, tmp_path, monkeypatch, key, how):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    several = isinstance(DEFAULTS.get(key), list)
    given = ["label=name:~/a/b", "name@64x32:~/c~d"] if several else "~/a/~b"
    home = f"{tmp_path}/home"
    wanted = [f"label=name:{home}/a/b", f"name@64x32:{home}/c~d"] if several else f"{home}/a/~b"
    section, _, name = key.rpartition(".")
    if how == "pairs":
        cfg.merge_from_list([key, repr(given) if several else given])
    elif how == "assigned":
        cfg.merge_from_list([key, "x"])
        config.lookup(cfg, section)[name] = given
        config.expand_paths(cfg)
    else:
        tree = {name: given}
        for part in reversed(section.split(".")):
            tree = {part: tree}
        from_file(cfg, tmp_path, yaml.safe_dump(tree))
    assert config.lookup(cfg, key) == wanted


NO_FILES = (
    "data.camera",
    "selection.data",
    "training.init",
    "training.report",
    "meta.perturbation",
)


def test_every_key_that_names_a_file_is_a_path():
    words = ("file", "folder", "checkpoint", ":weights")
    for key in KEYS:
        if isinstance(key.default, (str, list)) and any(word in key.meaning for word in words):
            assert f"adv.{key.name}" in PATHS or key.name in NO_FILES, key.name


def test_every_keyword_that_is_a_file_is_a_path():
    for section, table in (("distances", DISTANCES), ("transforms", TRANSFORMS)):
        for entry in table:
            for name, option in table.options(entry).items():
                if "Path" in str(option.annotation) or name == "weights":
                    assert f"adv.{section}.{entry}.{name}" in PATHS


def test_a_home_alone_and_of_somebody(cfg, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    from_file(cfg, tmp_path, "data:\n  root: ~\n  save_dir: ~/log\n")
    assert (cfg.data.root, cfg.data.save_dir) == (str(tmp_path), f"{tmp_path}/log")
    cfg.merge_from_list(["data.root", "~root/x", "data.save_dir", "./~x"])
    assert cfg.data.root == os.path.expanduser("~root/x") != "~root/x"
    assert cfg.data.save_dir == "./~x"
    with pytest.raises(ConfigError, match="'nobody_of_that_name', who is not known"):
        cfg.merge_from_list(["data.root", "~nobody_of_that_name/x"])


def test_a_config_file_and_the_root_have_their_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text("data: {save_dir: ~/log}")
    words = ["--config-file", "~/c.yaml", "--root=~/data", "-t", "market1501"]
    cfg = merged_config(make_parser("x").parse_args(words))
    assert (cfg.data.root, cfg.data.save_dir) == (f"{tmp_path}/data", f"{tmp_path}/log")
    config.forget()


@pytest.mark.parametrize(
    "words",
    [
        ["-t", "market1501", "use_gpu", "False", "adv.attack.eps", "7"],
        ["-t", "market1501", "use_gpu=False", "adv.attack.eps=7"],
        ["-t", "market1501", "adv.attack.eps=7", "use_gpu", "False"],
        ["-t", "market1501", "--root", "reid-data", "use_gpu", "False", "adv.attack.eps=7"],
        ["use_gpu=False", "data.targets=market1501", "adv.attack.eps", "7"],
        ["-t", "Market1501", "-s", "market1501", "adv.attack.eps", "7"],
    ],
)
def test_pairs_are_read_as_they_are_meant(words):
    cfg = merged_config(make_parser("x").parse_args(words))
    assert cfg.data.targets == ["market1501"]
    assert cfg.use_gpu is False
    assert cfg.adv.attack.eps == 7.0
    config.forget()


def test_a_value_may_hold_an_equals_sign(cfg):
    pairs = command.pairs_of(["adv.attack.models", "['a=x:w']", "data.root=a=b"])
    cfg.merge_from_list(pairs)
    assert (cfg.adv.attack.models, cfg.data.root) == (["a=x:w"], "a=b")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--steps", "5"], "after all flags write the config key: adv.attack.steps VALUE"),
        (["-t", "market1501", "--max-epoch", "5"], "train.max_epoch VALUE"),
        (["--nonsense", "5"], "config keys are written without dashes"),
        (["data.root", "x", "--steps", "5"], "adv.attack.steps VALUE"),
        (["data.root", "x", "--eps", "5"], "move '--eps' before 'data.root'"),
        (["data.root", "x", "--root", "y"], "move '--root' before 'data.root'"),
        (["data.root"], "'data.root' has no value"),
        (["-t", "market1501", "adv.atack.eps", "5"], "did you mean 'adv.attack'"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(words, sentence, capsys):
    try:
        code = cli.main(["attack-gallery", *words])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "expected"), [([], True), (["use_gpu", "False"], False), (["use_gpu", "True"], True)]
)
def test_a_gpu_is_used_where_there_is_one_and_nobody_says_otherwise(words, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert merged_config(make_parser("test").parse_args(words)).use_gpu is expected


def test_a_config_file_is_read_once(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    merged_config(make_parser("test").parse_args(["--config-file", "configs/attack/ifgsm.yaml"]))
    assert capsys.readouterr().err.count("=> Taking the example config") == 1
