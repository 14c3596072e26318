"""What the documents show is run, and what they name exists."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from markets import write_market

from torchreid_adv import cli, config, registry
from torchreid_adv.keys import KEYS, markdown
from torchreid_adv.models.loading import build_network

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), flags=re.DOTALL)


def run(code, name):
    exec(compile(code, name, "exec"), {"__name__": name})


@pytest.fixture(autouse=True)
def registries_as_before():
    kept = {t: (dict(t._entries), dict(t._facts)) for t in registry.TABLES.values() if len(t) >= 0}
    yield
    for table, (entries, facts) in kept.items():
        table._entries, table._facts = entries, facts


ELSEWHERE = {"ranking_robustness"}  # its code needs runs, which tests/report/test_robustness.py has


@pytest.mark.parametrize(
    "path", [p for p in PAGES[1:] if p.stem not in ELSEWHERE], ids=lambda p: p.stem
)
def test_the_code_of_a_page_runs(path):
    for number, code in enumerate(blocks(path, "python")):
        run(code, f"{path.stem}_{number}")


@pytest.mark.parametrize("path", PAGES[1:], ids=lambda p: p.stem)
def test_the_config_of_a_page_is_taken(path, tmp_path):
    for text in blocks(path, "yaml"):
        file = tmp_path / "page.yaml"
        file.write_text(text)
        tree = config.add_adv_config(config.AdvConfig({"data": {"transforms": ["random_flip"]}}))
        tree.merge_from_file(str(file))


def test_the_commands_on_victims_resolve(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "victims.md").read_text()
    commands = re.findall(r"^torchreid-adv (.+)$", text, flags=re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        config.forget()
        name, *rest = shlex.split(command)
        assert cli.main([name, "--dry-run", *rest]) == 0
        assert Path(rest[1]).stem in capsys.readouterr().out  # its model


@pytest.mark.parametrize(("page", "count"), [("universal_attacks", 7), ("meta_defense", 4)])
def test_the_commands_on_universal_attacks_resolve(page, count, tmp_path, monkeypatch, capsys):
    for name in ("model.pth.tar-60", "log/meta_defense/model/model.pth.tar-85"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / f"{page}.md").read_text()
    commands = re.findall(r"^torchreid-adv (.+)$", text, flags=re.MULTILINE)
    assert len(commands) == count
    for command in commands:
        config.forget()
        name, *rest = shlex.split(command)
        assert cli.main([name, "--dry-run", *rest]) == 0
        assert "adv.meta.learning" in capsys.readouterr().out


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    write_market(tmp_path / "reid-data", identities=2, cameras=2, images=1)
    torch.manual_seed(0)
    torch.save(build_network("osnet_x0_25").state_dict(), tmp_path / "model.pth.tar-60")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "README.md", "python")
    run(code.replace("osnet_x1_0", "osnet_x0_25"), "readme")
    assert (tmp_path / "run" / "report.html").is_file()
    clean, adversarial = map(float, capsys.readouterr().out.split("\n")[-2].split())
    assert 0 <= adversarial <= clean <= 1


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_configs_exist(path):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
    for name in re.findall(r"configs/[\w/]+\.yaml", path.read_text()):
        assert (ROOT / name).is_file(), name


def test_the_readme_lists_every_key_as_declared():
    found = re.search(r"<!-- keys -->\n(.*?)<!-- /keys -->", (ROOT / "README.md").read_text(), re.S)
    assert found
    assert found[1].strip() == markdown().strip()
    assert all(f"`adv.{key.name}`" in found[1] for key in KEYS)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_keys_that_a_page_names_are_declared(path):
    declared = {f"adv.{key.name}" for key in KEYS}
    sections = {name.rsplit(".", 1)[0] for name in declared}
    public = {"install", "add_adv_config", "setup", "adapt_engine", "PixelModel", "load_model"}
    for name in set(re.findall(r"`(adv\.[a-z_.]+)", path.read_text())):
        rest = name.removeprefix("adv.").split("(")[0]
        known = name in declared | sections or name.startswith("adv.transforms.")
        assert known or rest.split(".")[0] in public | {"load_dataset", "build_attack"}, name
