"""What tests of the integration share: small scripts, and torchreid in GitHub's layout."""

import shutil
from pathlib import Path

from torchreid_adv.integration.layout import torchreid_module

SCRIPTS = Path(__file__).parent / "scripts"


def write_github_layout(folder: Path) -> Path:
    """Copy the installed torchreid to the layout of its GitHub repository: ``torchreid.X``."""
    source = Path(torchreid_module().__file__).parent
    shutil.copytree(source, folder / "torchreid", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder / "torchreid").rglob("*.py"):
        text = path.read_text(encoding="utf-8").replace("torchreid.reid", "torchreid")
        path.write_text(text, encoding="utf-8")
    return folder
