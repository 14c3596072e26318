"""The documents as the tests see them: fenced blocks, console commands, headings and links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
CONSOLE = ("", "bash", "console", "sh")
LOOP = re.compile(r"^for (\w+) in ([^;]+); do\n(.*?)^done$", flags=re.DOTALL | re.MULTILINE)
PROGRAMS = ("make", "pip", "python", "python3", "torchreid-adv", "torchrun")


def blocks(path, *languages):
    """Return the fenced blocks of a page in one of some languages."""
    return [text for kind, text in FENCE.findall(path.read_text()) if kind in languages]


def commands(path):
    """Return the console commands of a page, each on one line, loops written out."""
    found = []
    for block in blocks(path, *CONSOLE):
        text = LOOP.sub(_unrolled, block.replace("\\\n", " "))
        lines = [re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines()]
        found += [line for line in lines if _program(line) in PROGRAMS]
    return found


def inline(path):
    """Return the commands in a page's prose and tables that are whole: those of a config file."""
    prose = FENCE.sub("", path.read_text())
    found = re.findall(r"`(torchreid-adv [^`]*--config-file configs/[^`]*)`", prose)
    return [command for command in found if "..." not in command]


def _unrolled(loop):
    name, values, body = loop.groups()
    return "".join(body.replace(f"${name}", value) for value in values.split())


def _program(line):
    return line.split(" ")[0].rsplit("/", 1)[-1]


def anchors(path):
    """Return the anchors of a page's headings, as MkDocs and GitHub make them, and its own."""
    prose = FENCE.sub("", path.read_text())
    found = set(re.findall(r'<a id="([\w-]+)"></a>', prose))
    for heading in re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        words = re.sub(r"[^\w\s-]", "", plain).strip().lower()
        found.add(re.sub(r"[-\s]+", "-", words))
    return found


def links(path):
    """Return the links and pictures of a page that lead into the tree: (file, anchor)."""
    prose = FENCE.sub("", path.read_text())
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose)
    return [tuple(target.partition("#")[::2]) for target in targets]
