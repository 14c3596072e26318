"""Two folders next to the package, and links to the web; pyproject.toml declares the rest.

``configs/`` becomes ``torchreid_adv/configs`` in a wheel, and ``benchmarks/`` becomes
``torchreid_adv/benchmarks``. The description on a package index is the README; its links and
pictures lead to the repository, at the tag of this version. The repository's address is
``REPOSITORY_URL``, or what GitHub Actions provides; without one, links within the repository become
plain text.
"""

import os
import re
from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).parent
BESIDE = {f"torchreid_adv.{folder}": folder for folder in ("configs", "benchmarks")}
BADGE = re.compile(r"\[!\[([^\]]*)\]\((https:[^)]*)\)\]\((?!https:)([^)]*)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https:)([^)]*)\)\n*")
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\((?!https:)([^)]*)\)")


def address() -> str:
    """Return the address of the repository on the web, "" where it is unknown."""
    github = (os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", ""))
    given = os.environ.get("REPOSITORY_URL", "/".join(github) if all(github) else "")
    return given.rstrip("/")


def version() -> str:
    """Return the version of the package, without importing it."""
    text = (ROOT / "torchreid_adv" / "version.py").read_text(encoding="utf-8")
    return re.findall(r'__version__ = "(.*)"', text)[0]


def description(site: str) -> str:
    """Return the README with links that work on a package index."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if not site:
        text = PICTURE.sub("", BADGE.sub(r"![\1](\2)", text))
        return LINK.sub(r"\1", text)
    page, raw = f"{site}/blob/v{version()}", f"{site}/raw/v{version()}"
    text = BADGE.sub(rf"[![\1](\2)]({page}/\3)", text)
    text = PICTURE.sub(rf"![\1]({raw}/\2)\n\n", text)
    return LINK.sub(rf"[\1]({page}/\2)", text)


def urls(site: str) -> dict[str, str]:
    """Return the addresses that a package index shows."""
    found = {"torchreid": "https://github.com/KaiyangZhou/deep-person-reid"}
    if site:
        pages = {"Documentation": "docs/index.md", "Changelog": "CHANGELOG.md"}
        found |= {name: f"{site}/blob/v{version()}/{path}" for name, path in pages.items()}
        found |= {"Repository": site, "Issues": f"{site}/issues"}
    return found


setup(
    packages=[
        *find_namespace_packages(include=["torchreid_adv*"]),
        *BESIDE,
        *(
            f"{package}.{name}"
            for package, folder in BESIDE.items()
            for name in find_namespace_packages(folder)
        ),
    ],
    package_dir=BESIDE,
    package_data={"": ["*.yaml"]},
    long_description=description(address()),
    long_description_content_type="text/markdown",
    project_urls=urls(address()),
)
