"""What every page has to fulfil, found by reading its HTML: no browser is needed."""

import re
from html.parser import HTMLParser

HEADINGS = ("h1", "h2", "h3", "h4")


class Outline(HTMLParser):
    """Collects headings, alternative texts, ids, links, tables outside of a box that scrolls."""

    def __init__(self, content):
        super().__init__()
        self.headings, self.ids, self.links, self.faults, self._open = [], [], [], [], []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag in HEADINGS:
            self.headings.append(int(tag[1]))
        if "id" in values:
            self.ids.append(values["id"])
        for name in ("href", "xlink:href"):
            if values.get(name, "").startswith("#"):
                self.links.append(values[name][1:])
        if tag == "img" and not values.get("alt"):
            self.faults.append("an image without an alternative text")
        if tag == "svg" and not (values.get("role") == "img" and values.get("aria-label")):
            self.faults.append("a chart without a label")
        if tag == "table" and not any("scroll" in classes for _, classes in self._open):
            self.faults.append("a table outside of a box that scrolls")
        if tag == "th" and "scope" not in values and "colspan" not in values:
            self.faults.append("a heading cell without a scope")
        if tag not in ("meta", "img", "br"):
            self._open.append((tag, (values.get("class") or "").split()))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass


def faults_of(content):
    """Return what is wrong with a page, a sentence each; nothing where all is well."""
    page = Outline(content)
    found = list(page.faults)
    if page.headings[:1] != [1] or page.headings.count(1) != 1:
        found.append("a page starts with its only h1")
    steps = zip(page.headings, page.headings[1:], strict=False)
    found += [f"h{a} is followed by h{b}" for a, b in steps if b > a + 1]
    found += [f"id {name} twice" for name in {n for n in page.ids if page.ids.count(n) > 1}]
    found += [f"#{name} leads nowhere" for name in set(page.links) - set(page.ids)]
    found += [f"an address: {use}" for use in re.findall(r"url\((?!#)[^)]*\)", content)]
    if '<html lang="en">' not in content:
        found.append("the language is not said")
    if "prefers-color-scheme: dark" not in content or "@media print" not in content:
        found.append("no dark page or no printed one")
    return found
