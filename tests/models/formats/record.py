"""Records what the sources' own code gives: ``REID_SOURCES=... python record.py [NAME...]``."""

import json
import sys
from pathlib import Path

import numpy as np
import PIL
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from format_cases import RECORDED, computed, images, layout, unit
from format_families import CASES


def record(case):
    state, features = case.source()
    found = unit(features(images())).numpy()
    spread = float(np.abs(found[0] - found[1]).max())
    np.save(RECORDED / f"{case.name}.npy", found)
    kept = {name: value.numpy() for name, value in computed(state).items()}
    if kept:
        np.savez_compressed(RECORDED / f"{case.name}.kept.npz", **kept)
    facts = {
        "versions": {"torch": torch.__version__.partition("+")[0], "pillow": PIL.__version__},
        "layout": layout(state),
    }
    (RECORDED / f"{case.name}.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")
    print(f"{case.name}: {found.shape}, two images are {spread:.2g} apart")


if __name__ == "__main__":
    for case in CASES:
        if not sys.argv[1:] or case.name in sys.argv[1:]:
            try:
                record(case)
            except BaseException as error:
                print(f"{case.name}: {type(error).__name__}: {error}")
