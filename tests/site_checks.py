"""Checks of the built documentation, page by page, without a network or a browser.

``python tests/site_checks.py site`` reads every page of ``make docs`` and prints what is wrong: a
missing title or language, an image without an alternative text, a link or button without a name,
headings that skip a level, an id that occurs twice, a link to a missing page or heading.
"""

import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
NAMED = ("a", "button")


class Page(HTMLParser):
    """The parts of a page that readers without a screen, and other pages, depend on."""

    def __init__(self, content):
        super().__init__()
        self.headings, self.ids, self.links, self.faults = [], [], [], []
        self.language = self.title = ""
        self._named, self._in_title, self._in_article = [], False, 0
        self._open = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self._open.append(tag)
        self._in_article += tag == "article"
        self._in_title = tag == "title" and not self.title
        if tag == "html":
            self.language = values.get("lang", "")
        if tag in HEADINGS and self._in_article:
            self.headings.append(int(tag[1]))
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "img":
            self._image(values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in NAMED and (tag == "button" or "href" in values):
            self._named.append(values.get("aria-label") or values.get("title") or "")
        elif tag in NAMED:
            self._named.append("an anchor")

    def _image(self, values):
        if not values.get("alt", "").strip():
            self.faults.append(f"the image {values.get('src')} has no alternative text")
        elif self._named:
            self._named[-1] += values["alt"]

    def handle_data(self, data):
        if self._in_title:
            self.title += data
        if self._named:
            self._named[-1] += data.strip()

    def handle_endtag(self, tag):
        self._in_title = False
        self._in_article -= tag == "article"
        if tag in NAMED and self._named and not self._named.pop():
            self.faults.append(f"a <{tag}> has no name")


def faults_of(page):
    """Return what is wrong with a page by itself, a phrase each."""
    steps = pairwise(page.headings)
    return [
        *sorted(set(page.faults)),
        *([] if page.title.strip() else ["no title"]),
        *([] if page.language == "en" else ["no language"]),
        *([] if page.headings.count(1) == 1 else [f"{page.headings.count(1)} main headings"]),
        *(f"h{a} is followed by h{b}" for a, b in steps if b > a + 1),
        *(f"the id {name} occurs twice" for name in sorted(set(page.ids)) if _twice(page, name)),
    ]


def _twice(page, name):
    return page.ids.count(name) > 1


def dead_links(pages, name):
    """Return the links of a page that lead to a missing page or heading.

    Args:
        pages: resolved path -> page, all of the site.
        name: path of the page.
    """
    dead = []
    for link in pages[name].links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (name.parent / unquote(parts.path)).resolve() if parts.path else name
        target = target / "index.html" if target.is_dir() else target
        known = target in pages
        if not (known or target.is_file()):
            dead.append(f"the link {link} leads to no file")
        elif known and parts.fragment and unquote(parts.fragment) not in pages[target].ids:
            dead.append(f"the link {link} leads to no heading")
    return sorted(set(dead))


def site_faults(folder):
    """Return page -> what is wrong, for the pages with faults.

    Args:
        folder: a built site.
    """
    paths = [path.resolve() for path in sorted(Path(folder).rglob("*.html"))]
    paths = [path for path in paths if path.name != "404.html"]  # its links start at the root
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    found = {
        path.relative_to(Path(folder).resolve()).as_posix(): [
            *faults_of(page),
            *dead_links(pages, path),
        ]
        for path, page in pages.items()
    }
    if not pages:
        return {str(folder): ["no pages"]}
    return {name: faults for name, faults in found.items() if faults}


def markdown_faults(text):
    """Return what is wrong with the headings and pictures of a Markdown page."""
    text = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = [len(signs) for signs in re.findall(r"^(#{1,6}) ", text, flags=re.MULTILINE)]
    steps = pairwise(headings)
    found = [f"h{a} is followed by h{b}" for a, b in steps if b > a + 1]
    if headings.count(1) != 1 or headings[0] != 1:
        found.append("the page starts with its only main heading")
    found += [
        f"the picture {path} has no alternative text"
        for alt, path in re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", text)
        if not alt.strip()
    ]
    return found


if __name__ == "__main__":
    wrong = site_faults(sys.argv[1])
    for place, faults in wrong.items():
        print(*(f"{place}: {fault}" for fault in faults), sep="\n")
    sys.exit(bool(wrong))
