"""What the documents show is run, and what they name exists."""

import copy
import importlib
import json
import re

import pytest
import torch
from markets import write_market
from pages import PAGES, ROOT, anchors, blocks, links

import torchreid_adv as adv
from torchreid_adv import config, registry
from torchreid_adv.config.keys import KEYS
from torchreid_adv.config.reference import FIRST, SECTIONS, reference, table
from torchreid_adv.core import loggers
from torchreid_adv.models.loading import build_network
from torchreid_adv.report.paper_table import paper_table


def run(code, name):
    """Run code that may go on from the code before it on the same page."""
    exec(compile(code, name, "exec"), SCOPES.setdefault(name, {"__name__": name}))


SCOPES = {}
STOCK = {"data": {"transforms": ["random_flip"]}, "model": {"name": "", "load_weights": ""}}


@pytest.fixture(autouse=True)
def registries_as_before():
    kept = {t: (dict(t._entries), dict(t._facts)) for t in registry.TABLES.values() if len(t) >= 0}
    yield
    for kind, (entries, facts) in kept.items():
        kind._entries, kind._facts = entries, facts


ELSEWHERE = {"ranking_robustness"}  # its code needs runs, which tests/report/test_robustness.py has


@pytest.mark.parametrize(
    "path", [p for p in PAGES[1:] if p.stem not in ELSEWHERE], ids=lambda p: p.stem
)
def test_the_code_of_a_page_runs(path):
    for code in blocks(path, "python"):
        run(code, path.stem)


@pytest.mark.parametrize("path", PAGES[1:], ids=lambda p: p.stem)
def test_the_config_of_a_page_is_taken(path, tmp_path):
    for text in blocks(path, "yaml"):
        file = tmp_path / "page.yaml"
        file.write_text(text)
        tree = config.add_adv_config(config.AdvConfig(copy.deepcopy(STOCK)))
        tree.merge_from_file(str(file))


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
def test_links_anchors_and_configs_exist(path):
    for name, anchor in links(path):
        target = path.parent / name if name else path
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), f"{name}#{anchor}"
    for name in re.findall(r"configs/[\w/]+\.yaml", path.read_text()):
        assert (ROOT / name).is_file(), name


NAMED = re.compile(
    r"`([a-z_]+/(?:[\w-]+/)*(?:[\w-]+\.\w+)?)`"
)  # a file or folder, between backticks
PLACES = (ROOT, ROOT / "torchreid_adv", ROOT / "torchreid_adv" / "data")


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md", "tests/README.md"])
def test_paths_of_the_code_exist(name):
    found = NAMED.findall((ROOT / name).read_text())
    places = (*PLACES, ROOT / "tests") if name.startswith("tests") else PLACES
    assert found or name == "CONTRIBUTING.md"
    assert not [path for path in found if not any((place / path).exists() for place in places)]
    for target, anchor in links(ROOT / name):
        assert not target or (ROOT / name).parent.joinpath(target).exists(), f"{target}#{anchor}"


def test_paths_with_the_package_before_them_exist():
    """``torchreid_adv.a.b`` and ``torchreid_adv/a/b.py`` in code, documents and configs."""
    kinds = ("torchreid_adv/**/*.py", "configs/**/*.yaml", "docs/*.md", "tools/*.py", "*.md")
    files = [path for kind in kinds for path in ROOT.glob(kind) if path.name != "CHANGELOG.md"]
    gone = set()
    for path in files:
        text = path.read_text()
        named = re.findall(r"\btorchreid_adv/[\w/]+(?:\.\w+)?", text)
        named = [one for one in named if one != "torchreid_adv/benchmarks"]  # where wheels have it
        gone |= {f"{path.name}: {one}" for one in named if not (ROOT / one).exists()}
        dotted = set(re.findall(r"\btorchreid_adv(?:\.[a-zA-Z_]\w*)+", text))
        gone |= {f"{path.name}: {one}" for one in dotted if not _is_in_the_package(one)}
    assert not gone


def _is_in_the_package(dotted):
    """Tell whether a dotted path leads to a module of today, or to a name in one."""
    if dotted == loggers.GROUP:  # a group of entry points
        return True
    thing, found = importlib.import_module("torchreid_adv"), "torchreid_adv"
    for name in dotted.split(".")[1:]:
        try:
            thing, found = importlib.import_module(f"{found}.{name}"), f"{found}.{name}"
        except ModuleNotFoundError:
            return hasattr(thing, name)
        if thing.__spec__.origin is None:  # a path of before, which is answered
            return False
    return True


def test_a_path_that_is_no_more_is_told():
    assert _is_in_the_package("torchreid_adv.core.batch.Batch")
    assert _is_in_the_package("torchreid_adv.evaluate")
    assert not _is_in_the_package("torchreid_adv.data.batch.Batch")  # answered, and yet of before
    assert not _is_in_the_package("torchreid_adv.core.batch.Bach")


def test_the_page_of_commands_lists_the_first_keys_as_declared():
    page = (ROOT / "docs" / "commands.md").read_text()
    found = re.search(r"<!-- keys -->\n(.*?)<!-- /keys -->", page, re.S)
    assert found
    assert found[1].strip() == table(FIRST)


def test_the_reference_of_keys_is_up_to_date():
    page = (ROOT / "docs" / "config.md").read_text()
    assert page == reference(), "run: torchreid-adv list --keys > docs/config.md"
    assert all(f"| `adv.{key.name}` |" in page for key in KEYS)
    sections = {key.name.split(".")[0] for key in KEYS if "." in key.name or key.default == {}}
    assert sections == set(SECTIONS) - {""}, "config.reference.SECTIONS says what a section is"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_keys_and_names_on_a_page_are_declared(path):
    declared = {f"adv.{key.name}" for key in KEYS}
    sections = {name.rsplit(".", 1)[0] for name in declared}
    for name in set(re.findall(r"`(adv\.[a-z_.]+)", path.read_text())):
        known = name in declared | sections or name.startswith("adv.transforms.")
        assert known or name.removeprefix("adv.").split(".")[0] in PUBLIC, name


PUBLIC = {name for name in adv.__all__ if not name.isupper()}


def test_every_page_is_in_the_navigation():
    _, navigation = (ROOT / "mkdocs.yml").read_text().split("\nnav:")
    listed = set(re.findall(r"\b([a-z_]+\.md)$", navigation, flags=re.MULTILINE))
    made = {"changelog.md", "example_configs.md", "tour.md"}  # by docs/hooks.py
    assert listed - made == {path.name for path in PAGES[1:]}


def test_the_api_reference_has_every_public_name():
    text = (ROOT / "docs" / "api.md").read_text()
    names = set(json.loads((ROOT / "tests" / "api_surface.json").read_text())) - {"__version__"}
    shown = re.findall(r"^::: (torchreid_adv\.[\w.]+)$", text, flags=re.MULTILINE)
    for path in shown:
        module, _, name = path.rpartition(".")
        thing = getattr(importlib.import_module(module), name)
        public = getattr(adv, name) if name in adv.__all__ else thing
        # the room of the standard evaluation is a module that answers to the function's call
        assert public is thing or (name == "standard" and callable(public)), path
    registries = {name for name in names if name.isupper()}
    assert names - registries <= {path.rpartition(".")[2] for path in shown}
    assert all(f"`{name}`" in text for name in registries)


def test_the_printed_results_are_those_of_the_papers_tables():
    text = (ROOT / "docs" / "papers.md").read_text()
    rows = re.findall(r"^\|[^|]+\| `([\w.]+)` \| ([^|]*) \|$", text, flags=re.MULTILINE)
    assert len(rows) > 20
    for table_name, printed in rows:
        own = [cell for cell in paper_table(table_name).cells if cell["target"] in SHOWN_SETS]
        numbers = {value for cell in own for value in cell.values() if type(value) is float}
        assert {float(number) for number in printed.split(", ")} <= numbers, printed
    assert "does not hold" not in text


SHOWN_SETS = ("market1501", "vcm_i2v", "vcm_v2i")


@pytest.mark.parametrize("kind", ["attacks", "datasets", "defenses", "engines", "models"])
def test_the_page_of_methods_names_every_entry(kind):
    text = (ROOT / "docs" / "methods.md").read_text()
    others = (ROOT / "docs" / "vi_video.md").read_text() if kind == "datasets" else ""
    entries = registry.TABLES[kind]
    own = [n for n in entries if entries.get(n).__module__.startswith("torchreid_adv")]
    assert own
    for name in own:  # others are those of tests' plugins
        if not entries.facts(name).get("internal") and not name.startswith("adversarial"):
            assert re.search(rf"\b{name}\b", text + others), name
