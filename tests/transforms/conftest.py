import cv2
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def image() -> Image.Image:
    """Smooth colors with some noise, 64 high and 32 wide: histograms and blurs have work to do."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (8, 4, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (32, 64), interpolation=cv2.INTER_CUBIC).astype(float)
    noisy = smooth + draw.normal(0, 12, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
