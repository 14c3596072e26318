"""The launcher, on a stand-in for torchreid's script, in both layouts of torchreid."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import standins

from torchreid_adv import config
from torchreid_adv.cli.run import run_command
from torchreid_adv.errors import ConfigError

ROOT = Path(standins.__file__).parents[1]


def python(*arguments: str, github: Path | None = None, **variables: str) -> str:
    """Run Python in a process of its own and return what it printed."""
    places = [str(place) for place in (github, standins.SCRIPTS) if place]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), **variables}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.mark.parametrize("layout", ["pypi", "github"])
def test_launches(layout, github, market, tmp_path):
    output = python(
        str(standins.SCRIPTS / "launches.py"),
        str(market),
        str(tmp_path / "log"),
        github=github if layout == "github" else None,
    )
    told = json.loads(output.splitlines()[-1])
    assert told["prefix"] == {"pypi": "torchreid.reid", "github": "torchreid"}[layout]
    assert set(told["codes"].values()) == {0, 2}
    parts = dict(part.split("\n", 1) for part in output.split("@@ ")[1:])
    assert [title for title in parts if told["codes"][title] == 0] == ["train", "test"]
    assert all("console is open" in part for part in parts.values())
    check_training(parts["train"], tmp_path / "log")
    assert "Successfully loaded pretrained weights" in parts["test"]
    assert results(parts["test"]) == results(parts["train"])
    for title, words in {
        "missing": "error: model.load_weights names 'missing.pth', and there is no such file",
        "misfit": "are not this model's",
        "unknown key": "did you mean 'adv.attack.eps'",
        "unknown engine": "did you mean 'metric_attack'",
        "never run": "eps 5.0\nerror: adv.engine had no effect",
        "no config": "has no get_default_config() to add adv.plugins to",
    }.items():
        assert words in parts[title], title


def results(log: str) -> list[str]:
    return re.findall(r"^(?:mAP|Rank-\d+ *): .*%$", log, re.MULTILINE)


def check_training(log: str, folder: Path) -> None:
    for line in ("  eps: 5.0", "+ local grayscale (p=0.7)", "Model complexity: params="):
        assert line in log
    assert log.count("own_loss 42.0000") == 3
    assert len(results(log)) == 3
    assert (folder / "model" / "model.pth.tar-1").is_file()
    saved = [path.read_text() for path in folder.glob("*.log-*")]
    assert results(log) in map(results, saved)
    assert not any("console is open" in text for text in saved)


def test_integration_in_githubs_layout(github):
    """The integration's tests again, where torchreid's modules have other names."""
    hooked = "(not test_checkpoints or hooked or resume or follows or missing_weights)"
    hooked += " and not spawned and not plain_import"  # the same in both, and slow
    quiet = ("-q", "-p", "no:cacheprovider")
    python("-m", "pytest", *quiet, "tests/integration", "-k", hooked, github=github)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["pypi", "github"])
def test_spawned_workers_find_a_class_of_the_script(layout, github, market, tmp_path):
    arguments = [
        *(str(standins.SCRIPTS / "main.py"), "-s", "own", "--root", str(market)),
        *("model.name", "osnet_x0_25", "model.pretrained", "False", "data.save_dir", str(tmp_path)),
        *("data.height", "64", "data.width", "32", "train.batch_size", "8", "data.workers", "1"),
        *("train.max_epoch", "1"),
    ]
    code = (
        "import multiprocessing, sys\n"
        "from torchreid_adv.cli import main\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    sys.exit(main(['run', *sys.argv[1:]]))\n"
    )
    (tmp_path / "spawning.py").write_text(code)
    output = python(
        str(tmp_path / "spawning.py"), *arguments, github=github if layout == "github" else None
    )
    assert "own_loss 42.0000" in output
    assert len(results(output)) == 3


def test_a_script_without_main_runs_as_a_program(tmp_path, capsys):
    (tmp_path / "plain.py").write_text(
        "import sys\nfrom default_config import get_default_config\n"
        "print(__name__, sys.argv[1:], get_default_config().adv.attack.eps)\nsys.exit(3)\n"
    )
    (tmp_path / "default_config.py").write_text(
        "from yacs.config import CfgNode\n\n\ndef get_default_config():\n    return CfgNode()\n"
    )
    argv, path = list(sys.argv), list(sys.path)
    assert run_command([str(tmp_path / "plain.py"), "a", "adv.attack.eps", "3"]) == 3
    assert capsys.readouterr().out == "__main__ ['a', 'adv.attack.eps', '3'] 5.0\n"
    assert (sys.argv, sys.path) == (argv, path)
    assert "default_config" not in sys.modules


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("import sys\ndef main():\n    sys.exit('bad luck')\n", 1, "bad luck"),
        ("import sys\ndef main():\n    sys.exit()\n", 0, ""),
        ("def main():\n    print('fine')\n", 0, ""),
    ],
)
def test_exit_codes_of_the_script(tmp_path, capsys, text, code, words):
    (tmp_path / "script.py").write_text(text)
    assert run_command([str(tmp_path / "script.py")]) == code
    assert words in capsys.readouterr().err


def test_a_module_of_the_scripts_name_stays(tmp_path):
    (tmp_path / "json.py").write_text(
        "def main():\n    import json\n    assert json.mine\nmine = 1\n"
    )
    assert run_command([str(tmp_path / "json.py")]) == 0
    assert sys.modules["json"] is json


def test_what_is_not_a_script_is_refused(tmp_path):
    (tmp_path / "broken.py").write_text("def main(:\n")
    for path, words in (("missing.py", "path of a Python script"), ("broken.py", "not a Python")):
        with pytest.raises(ConfigError, match=words):
            run_command([str(tmp_path / path)])


def test_usage(capsys):
    assert run_command(["--help"]) == 0
    assert run_command([]) == ConfigError.exit_code
    assert "torchreid-adv run SCRIPT" in capsys.readouterr().out


def test_an_earlier_config_is_forgotten(tmp_path):
    (tmp_path / "script.py").write_text("def main():\n    pass\n")
    cfg = config.add_adv_config(config.AdvConfig())
    cfg.adv.engine = "metric_attack"
    assert run_command([str(tmp_path / "script.py")]) == 0
