"""The texts that users read, as (line, text): pages, comments, help and strings of the code."""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
KINDS = (
    *("*.md", "CITATION.cff", "docs/*.md", "docs/*.ipynb", "docs/*.py", "tests/README.md"),
    *(
        "Dockerfile",
        ".devcontainer/Dockerfile",
        "configs/**/*.yaml",
        "mkdocs.yml",
        "pyproject.toml",
        "tools/*.py",
        "benchmarks/**/*.py",
    ),
    *("torchreid_adv/**/*.py", "torchreid_adv/**/*.html", "torchreid_adv/cli/index.json"),
)
COMMENT = re.compile(r"""^(?:[^'"#]|'[^']*'|"[^"]*")*#(.*)$""")
COMMANDS = re.compile(r" *(?:torchreid-adv|python|[a-z_]+\.[a-z_.]+ \S+(?: |$))")
Texts = Iterator[tuple[int, str]]


def files() -> list[Path]:
    """Return every file whose texts are searched."""
    return sorted({path for kind in KINDS for path in ROOT.glob(kind) if path.is_file()})


def texts(path: Path) -> Texts:
    """Yield the texts of a file with the lines where they begin; code is left out."""
    readers = {".md": markdown, ".ipynb": notebook, ".py": python, ".json": strings, ".html": html}
    for line, text in readers.get(path.suffix, comments)(path.read_text(encoding="utf-8")):
        yield line, re.sub(r"`[^`]*`", "`code`", text)


def markdown(page: str) -> Texts:
    """Yield the paragraphs, headings and table rows of a page."""
    made = r"<!-- keys -->.*?<!-- /keys -->|<!--.*?-->"  # from the declarations of the keys
    blank = re.compile(rf"^( *)```.*?^\1```$|{made}", flags=re.DOTALL | re.MULTILINE)
    page = blank.sub(lambda block: "\n" * block[0].count("\n"), page)
    page = re.sub(r"(\]\()[^)\s]*\)", r"\1)", page)
    start, gathered = 1, []
    for number, line in enumerate([*page.split("\n"), ""], start=1):
        if not line.strip() or line.startswith(("|", "#", "- ")):
            yield start, " ".join(gathered)
            start, gathered = number, []
        gathered.append(line)
    yield start, " ".join(gathered)


def notebook(content: str) -> Texts:
    """Yield the Markdown cells of a notebook, numbered by cell."""
    for number, cell in enumerate(json.loads(content)["cells"]):
        if cell["cell_type"] == "markdown":
            yield from ((number, text) for _, text in markdown("".join(cell["source"])))


def python(code: str) -> Texts:
    """Yield the strings of a module, docstrings among them, and its comments."""
    inside = set()  # parts of f-strings, which are put together
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif id(node) not in inside and " " in (text := _string(node)):
            yield node.lineno, re.sub(r"``[^`]*``|:\w+:`[^`]*`", "`code`", text)
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _string(node: ast.AST) -> str:
    is_one = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_one else ""


def strings(content: str) -> Texts:
    """Yield the strings of a JSON file that are texts, without their lines."""

    def walk(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for item in value.values():
                yield from walk(item)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item)
        elif isinstance(value, str) and " " in value:
            yield value

    return ((0, text) for text in walk(json.loads(content)))


def html(page: str) -> Texts:
    """Yield the text between the tags of a page or template."""
    page = re.sub(r"<(style|script).*?</\1>", lambda m: "\n" * m[0].count("\n"), page, flags=re.S)
    for number, line in enumerate(page.split("\n"), start=1):
        yield number, re.sub(r"<[^>]*>|\{[{%#].*?[}%#]\}", " ", line)


def comments(content: str) -> Texts:
    """Yield the comments of a YAML or TOML file; commands in them are left out."""
    for number, line in enumerate(content.split("\n"), start=1):
        found = COMMENT.match(line)
        if found and not COMMANDS.match(found[1]):
            yield number, found[1]
