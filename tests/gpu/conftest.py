import pytest
import torch
from place import DEVICE


@pytest.fixture(autouse=True)
def there():
    """A device to compute on."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no CUDA device, or tests of the CPU run beside; use -m gpu")
