"""Hooks of MkDocs: pages made from other files, and links that leave ``docs/``.

In ``docs/`` a link to an example config is ``../configs/attack/ifgsm.yaml``, which works in the
source tree. On the built pages it leads to the page of all example configs.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
EXAMPLES = "example_configs.md"
CHANGELOG = "changelog.md"
_NOTEBOOKS = sorted(Path(__file__).parent.rglob("*.ipynb"))
NOTEBOOK_PAGES = {
    path.relative_to(Path(__file__).parent).with_suffix(".md").as_posix() for path in _NOTEBOOKS
}
OUTSIDE = re.compile(r"\]\(\.\./(configs(?:/[\w./-]*)?)\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the changelog, the example configs and the notebooks as pages."""
    pages = {CHANGELOG: (ROOT / "CHANGELOG.md").read_text(), EXAMPLES: example_configs()}
    for path in _NOTEBOOKS:
        text, pictures = notebook(path)
        place = path.relative_to(config.docs_dir)
        pages[place.with_suffix(".md").as_posix()] = text
        for name, content in pictures.items():
            files.append(File.generated(config, (place.parent / name).as_posix(), content=content))
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Point links to configs, notebooks and the changelog to the pages that show them."""
    if page.file.src_uri not in NOTEBOOK_PAGES:  # which offer the notebook itself
        markdown = markdown.replace(".ipynb)", ".md)")
    markdown = markdown.replace("](../CHANGELOG.md)", f"]({CHANGELOG})")
    return OUTSIDE.sub(lambda found: f"]({EXAMPLES}#{anchor(found[1])})", markdown)


def anchor(path: str) -> str:
    """Return the anchor of a config or of a folder of them."""
    return path.strip("/").removesuffix(".yaml").replace("/", "-")


def example_configs() -> str:
    """Return the page of all example configs, a section for each folder."""
    lines = ["# Example configs", "", "Use one with `--config-file configs/...`."]
    top = ROOT / "configs"
    for folder in (top, *sorted(p for p in top.iterdir() if p.is_dir())):
        name = folder.relative_to(ROOT).as_posix()
        if anchor(name) != name:  # the heading itself has that id
            lines += ["", f'<a id="{anchor(name)}"></a>']
        lines += ["", f"## {name}"]
        for path in sorted(folder.glob("*.yaml")):
            own = path.relative_to(ROOT).as_posix()
            lines += ["", f'<a id="{anchor(own)}"></a>', "", f'```yaml title="{own}"']
            lines += [path.read_text().rstrip(), "```"]
    return "\n".join(lines) + "\n"


def notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by file name, relative to the page."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    section = ""
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            section = (re.findall(r"^#+ (.+)$", source, flags=re.MULTILINE) or [section])[-1]
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if kind := next((name for name in data if name.startswith("image/")), ""):
                name = f"{path.stem}_files/{len(pictures)}.{kind.removeprefix('image/')}"
                pictures[name] = base64.b64decode("".join(data[kind]))
                parts.append(f"![{section}: picture from the code above]({name})")
            elif text := "".join(output.get("text", data.get("text/plain", ""))):
                parts.append(f"``` {{.text .output}}\n{text.strip()}\n```")
    return "\n\n".join(parts) + "\n", pictures
