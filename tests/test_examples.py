"""Names of example configs: taken from the current folder, else from the package."""

from pathlib import Path

import pytest

from torchreid_adv import cli, config, errors
from torchreid_adv.config import examples

ROOT = Path(examples.__file__).parents[2]
NAME = "configs/attack/ifgsm.yaml"


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path, monkeypatch):
    config.forget()
    monkeypatch.chdir(tmp_path)
    yield
    config.forget()


def write(path, eps):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"adv: {{attack: {{eps: {eps}}}}}")


def merged(name):
    tree = config.add_adv_config(config.AdvConfig())
    tree.merge_from_file(name)
    return tree.adv.attack.eps


def test_an_example_is_found_from_any_folder_and_named(capsys):
    assert examples.found(NAME) == ROOT / NAME
    assert str(ROOT / NAME) in capsys.readouterr().err


def test_what_is_in_the_current_folder_comes_first(tmp_path, capsys):
    write(tmp_path / NAME, 3)
    assert merged(NAME) == 3
    assert capsys.readouterr().err == ""


def test_an_installed_package_has_its_own(tmp_path, monkeypatch, capsys):
    installed = tmp_path / "site-packages" / "torchreid_adv"
    write(installed / NAME, 7)
    write(tmp_path / "site-packages" / NAME, 9)  # of somebody else
    monkeypatch.setattr(examples, "__file__", str(installed / "config" / "examples.py"))
    assert merged(NAME) == 7
    assert str(installed / NAME) in capsys.readouterr().err


def test_a_folder_beside_an_installed_package_is_not_ours(tmp_path, monkeypatch):
    write(tmp_path / "site-packages" / NAME, 9)
    monkeypatch.setattr(
        examples,
        "__file__",
        str(tmp_path / "site-packages" / "torchreid_adv" / "config" / "examples.py"),
    )
    assert examples.found(NAME) == Path(NAME)
    with pytest.raises(errors.ConfigError, match="cannot read config file"):
        merged(NAME)
    assert examples.described() == []


@pytest.mark.parametrize("name", ["configs/no.yaml", "other/ifgsm.yaml", "configs/../setup.py"])
def test_other_names_stay_as_they_are(name, capsys):
    assert examples.found(name) == Path(name)
    assert capsys.readouterr().err == ""


def test_the_list_says_what_each_example_is(capsys):
    assert cli.main(["list", "--configs"]) == 0
    printed = capsys.readouterr().out
    files = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "configs").rglob("*.yaml"))
    lines = [line.split(maxsplit=1) for line in printed.splitlines()[1:-2]]
    assert [name for name, _ in lines] == files
    assert "Sign steps of one gray level" in dict(lines)[NAME]
    assert cli.main(["list", "configs"]) == 0
    assert capsys.readouterr().out == printed
