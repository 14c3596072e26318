"""The pages as a site: a folder for each version, and what readers with a screen reader need."""

import re
from pathlib import Path

import pytest
import yaml
from site_checks import markdown_faults, site_faults

from torchreid_adv.version import __version__

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
GOOD = """<html lang="en"><head><title>A page</title></head><body><article><h1 id="a">A</h1>
<h2 id="b">B</h2><a href="#b">to B</a><a href="other.html#c">to C</a>
<a href="https://example.org"><img src="x.png" alt="X"></a></article></body></html>"""
OTHER = GOOD.replace('id="b"', 'id="c"').replace('"#b"', '"#c"')


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name Python functions."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
MKDOCS = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)


def target(name):
    """Return the commands of a target of the Makefile."""
    return re.search(rf"^{name}:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)[1]


def test_a_version_of_the_pages_is_published_under_its_number_and_as_latest():
    commands = target("docs-version")
    assert "mike deploy --update-aliases --alias-type copy $(OPTIONS) $(MINOR) latest" in commands
    assert "mike set-default $(OPTIONS) latest" in commands
    line = re.search(r"^MINOR := .*sed -n 's/(.*?)/\\1/p' (.*)\)$", MAKEFILE, flags=re.MULTILINE)
    source = (ROOT / line[2]).read_text()
    expression = line[1].replace(r"\(", "(").replace(r"\)", ")")
    assert re.search(expression, source, flags=re.MULTILINE)[1] == __version__.rpartition(".")[0]


def test_the_pages_have_a_menu_of_versions_and_what_makes_it():
    assert MKDOCS["extra"]["version"] == {"provider": "mike", "default": "latest"}
    assert "\nmike>=" in (ROOT / "docs" / "requirements.txt").read_text()


def test_a_release_publishes_the_pages_after_the_package():
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    job = release["jobs"]["docs"]
    assert job["needs"] == "publish"
    assert job["permissions"] == {"contents": "write"}
    steps = [step.get("run", "") for step in job["steps"]]
    assert any("make docs-version OPTIONS=--push" in step for step in steps)
    assert any("gh-pages" in step for step in steps)  # or earlier versions would be lost
    assert job["steps"][0]["with"]["fetch-depth"] == 0


def test_every_page_is_in_the_menu():
    """``make docs`` is strict: a page that is missing there is an error."""
    listed = set(re.findall(r"[\w/]+\.md", str(MKDOCS["nav"])))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    pages = {name for name in pages if not name.startswith("results/")}
    made = {"changelog.md", "example_configs.md", "tour.md", "notebooks/first_steps.md"}
    assert "results/" in MKDOCS["exclude_docs"].split()
    assert listed == pages | made


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.name
)
def test_headings_of_a_page_are_in_order_and_pictures_have_texts(path):
    assert markdown_faults(path.read_text()) == []


def test_the_checks_of_built_pages_find_what_is_wrong(tmp_path):
    (tmp_path / "good.html").write_text(GOOD)
    (tmp_path / "other.html").write_text(OTHER.replace("other.html#c", "good.html#b"))
    assert site_faults(tmp_path) == {}
    bad = GOOD.replace(' lang="en"', "").replace("A page", "").replace('alt="X"', 'alt=""')
    bad = bad.replace("<h2", "<h3").replace("</h2>", "</h3>").replace('id="a"', 'id="b"')
    bad = bad.replace("other.html#c", "other.html#nowhere").replace('"#b"', '"missing.html"')
    (tmp_path / "good.html").write_text(bad)
    assert site_faults(tmp_path)["good.html"] == [
        "a <a> has no name",
        "the image x.png has no alternative text",
        "no title",
        "no language",
        "h1 is followed by h3",
        "the id b occurs twice",
        "the link missing.html leads to no file",
        "the link other.html#nowhere leads to no heading",
    ]


def test_the_checks_of_markdown_find_what_is_wrong():
    assert markdown_faults("# A\n\n```\n### no heading\n```\n\n## B\n![x](x.png)\n") == []
    assert markdown_faults("## A\n\n#### B\n\n![](x.png)\n") == [
        "h2 is followed by h4",
        "the page starts with its only main heading",
        "the picture x.png has no alternative text",
    ]


def test_the_built_pages_are_checked_before_a_release():
    steps = (ROOT / ".ci" / "run").read_text()
    assert steps.index("make docs ") < steps.index('tests/site_checks.py "$work/site"')
