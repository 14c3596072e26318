"""How similar an image file is to its stored adversarial form: SSIM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from torchreid_adv.data.images import read_image
from torchreid_adv.evaluation.similarity import ssim
from torchreid_adv.pixels import to_tensor


def file_similarity(original: Path, adversarial: Path) -> float:
    """Return the SSIM of an image file and its stored adversarial form.

    The original is resized where the other was stored at the size of a network's input.

    Raises:
        DataError: a file is missing or no readable image.
    """
    pair = [read_image(original), read_image(adversarial)]
    if pair[0].size != pair[1].size:
        pair[0] = pair[0].resize(pair[1].size, Image.Resampling.BILINEAR)
    first, second = (to_tensor(np.array(image))[None] for image in pair)
    return float(ssim(first, second)[0])
