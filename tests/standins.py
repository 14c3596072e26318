"""What tests share: small data in Market-1501's layout, torchreid in GitHub's layout."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from torchreid_adv.integration.layout import torchreid_module

SCRIPTS = Path(__file__).parent / "scripts"
HEIGHT, WIDTH = 64, 32


def write_market(root: Path) -> Path:
    """Write 4 identities x 2 cameras x 2 images per split; a color tells the identity."""
    rng = np.random.default_rng(0)
    home = root / "market1501" / "Market-1501-v15.09.15"
    for split, start in (("bounding_box_train", 1), ("query", 11), ("bounding_box_test", 11)):
        for pid in range(start, start + 4):
            color = np.random.default_rng(pid).integers(40, 200, 3)
            for camid in (1, 2) if split != "query" else (1,):
                for shot in range(2):
                    pixels = color + rng.integers(-30, 30, (HEIGHT, WIDTH, 3))
                    path = home / split / f"{pid:04d}_c{camid}s1_{shot:06d}_00.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


def write_github_layout(folder: Path) -> Path:
    """Copy the installed torchreid to the layout of its GitHub repository: ``torchreid.X``."""
    source = Path(torchreid_module().__file__).parent
    shutil.copytree(source, folder / "torchreid", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder / "torchreid").rglob("*.py"):
        text = path.read_text(encoding="utf-8").replace("torchreid.reid", "torchreid")
        path.write_text(text, encoding="utf-8")
    return folder
