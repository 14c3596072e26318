"""Hashes of corrupted images: every machine, Python and NumPy has to give the same.

    python tests/corruptions/golden.py              compare; prints what differs
    python tests/corruptions/golden.py --record     write golden.json

It needs NumPy, OpenCV and Pillow alone, so that it runs where PyTorch is not installed.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from torchreid_adv.corruptions import SEVERITIES, corrupt
from torchreid_adv.registry import CORRUPTIONS

FOLDER = Path(__file__).parent
FILE = FOLDER / "golden.json"


def people():
    """Three virtual people, rendered once: 64x32, 96x48 and 57x31."""
    return [np.asarray(Image.open(FOLDER / f"person{number}.png")) for number in range(3)]


def hashes():
    """Kind -> for each person the hashes of five severities."""
    images = people()
    return {kind: [_row(kind, image, images[0]) for image in images] for kind in CORRUPTIONS}


def _row(kind, image, other):
    made = [corrupt(image, kind, severity=severity, other=other) for severity in SEVERITIES]
    return [hashlib.sha256(result.tobytes()).hexdigest()[:12] for result in made]


def main(arguments):
    found = hashes()
    if "--record" in arguments:
        rows = [f' "{kind}": {json.dumps(values)}' for kind, values in found.items()]
        FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    golden = json.loads(FILE.read_text())
    differing = [kind for kind in golden if golden[kind] != found.get(kind)]
    print(f"{len(golden)} kinds, differing: {', '.join(differing) or 'none'}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
