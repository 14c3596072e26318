"""PixelModel: a network that takes pixels, so that attacks never see sizes, means or deviations.

Beside it stand what every model of images is, and networks that answer without a gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms as T

from torchreid_adv.data.images import RESAMPLING
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.output import Output, asked, features_in


class ImageModel(nn.Module, ABC):
    """Images in [0, 1] of any size -> features; and the same for image files, as torchreid does."""

    @abstractmethod
    def file_transform(self) -> Callable[[Any], Any]:
        """Return what is done to a PIL image in the process that reads it; picklable.

        A model of tracklets is given the list of a clip's images.
        """

    @abstractmethod
    def of_files(self, inputs: Sequence[Any], *, modality: Tensor | None = None) -> Tensor:
        """Return the features (N, D) of what the file transform gave for N images or tracklets.

        Args:
            inputs: N of them.
            modality: (N,) of each; None = not known.
        """


class BlackBox(nn.Module):
    """A network that answers, and has no gradient; only attacks that ask can be made on it."""

    what = "a black box"  # that it is, in a sentence


def black_box(model: nn.Module) -> str:
    """Return what keeps a model from having a gradient, "" where nothing is known to."""
    return next((part.what for part in model.modules() if isinstance(part, BlackBox)), "")


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PixelModel(ImageModel):
    """Crop, resize, normalize, network: images in [0, 1] of any size -> features (N, D).

    Args:
        network: eval-mode torchreid network, or any module (N, 3, H, W) -> (N, D).
        size: height and width of the network's input.
        mean: of the training pixels, three numbers in [0, 1].
        std: of the training pixels, three positive numbers.
        output: which of several results are the features: an index where the network returns a
            list or tuple, a key where it returns a dict; None = it returns one tensor.
        interpolation: how images are resized to the input: ``bilinear``, as torchreid's test
            transform, or ``bicubic``.

    Raises:
        ConfigError: an unknown interpolation, a size, mean or std that cannot be used; when it is
            called, images or an answer of the network that cannot be.

    Example:
        >>> model = PixelModel(network, size=(256, 128))
        >>> features = model(torch.rand(4, 3, 128, 64))
    """

    caches = ("_moments",)
    interpolation = "bilinear"  # an instance has its own where that differs

    def __init__(
        self,
        network: nn.Module,
        *,
        size: Sequence[int] = (256, 128),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        output: Output = None,
        interpolation: str = "bilinear",
    ) -> None:
        super().__init__()
        if interpolation not in RESAMPLING:
            raise ConfigError(
                f"interpolation is one of {', '.join(RESAMPLING)}, got {interpolation!r}"
            )
        if interpolation != self.interpolation:
            self.interpolation = interpolation
        if len(size) != 2 or min(size) < 1:
            raise ConfigError(f"size is (height, width) in pixels, got {tuple(size)}")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ConfigError(
                f"mean and std are three numbers each, std positive, got {mean}, {std}"
            )
        self.network = network
        self.output = output
        self.size = (int(size[0]), int(size[1]))
        self.mean = tuple(float(v) for v in mean)
        self.std = tuple(float(v) for v in std)
        self._moments: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    def forward(
        self, images: Tensor, *, sizes: Tensor | None = None, modality: Tensor | None = None
    ) -> Tensor:
        """Return features (N, D).

        Args:
            images: (N, 3, H, W) in [0, 1]; tracklets (N, T, 3, H, W) are flattened to N x T.
            sizes: (N, 2) height and width of each image on the canvas; None = all of it.
            modality: not used by a network of one modality.
        """
        if images.ndim == 5:
            images = images.flatten(0, 1)
            sizes = None if sizes is None else sizes.flatten(0, 1)
        return self.ask(self.normalize(self.resize(checked(images), sizes)))

    def ask(self, inputs: Tensor, *further: Any) -> Any:
        """Return the features (N, D) that the network has for normalized inputs (N, ...).

        A network in train mode answers as it does in training, which is handed on as it is.
        """
        answer = asked(self.network, inputs, *further)
        if self.network.training:
            return answer
        return features_in(answer, self.output, len(inputs))

    def resize(self, images: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Resize each image from its own size to the network's, as Pillow does.

        Antialiased, or a smaller target would sample single pixels and differ from what is scored.
        """
        if sizes is None or bool((sizes == sizes.new_tensor(images.shape[-2:])).all()):
            return self._interpolate(images)
        crops = [image[:, :h, :w] for image, (h, w) in zip(images, sizes.tolist(), strict=True)]
        return torch.cat([self._interpolate(crop[None]) for crop in crops])

    def _interpolate(self, images: Tensor) -> Tensor:
        if tuple(images.shape[-2:]) == self.size:
            return images
        if self.interpolation == "bicubic":
            return bicubic(images, self.size)
        return F.interpolate(
            images, self.size, mode="bilinear", antialias=True, align_corners=False
        )

    def normalize(self, images: Tensor) -> Tensor:
        """Subtract the mean and divide by the deviation, per channel."""
        mean, std = self.moments(images)
        return (images - mean) / std

    def moments(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (3, 1, 1) in the format and on the device of a tensor.

        Made once for each: a number that goes to a GPU waits until all before it is done there.
        """
        key = (like.device, like.dtype, self.mean, self.std)
        if key not in self._moments:
            with torch.inference_mode(False):  # kept beyond it
                mean, std = (like.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
            self._moments[key] = (mean, std)
        return self._moments[key]

    def file_transform(self) -> T.Compose:
        """Return torchreid's test transform: PIL image -> normalized network input.

        This is what scores use: the resize there rounds to whole levels, the one of
        :meth:`forward` does not.
        """
        resize = T.Resize(self.size, interpolation=T.InterpolationMode(self.interpolation))
        return T.Compose([resize, T.ToTensor(), T.Normalize(self.mean, self.std)])

    def of_files(self, inputs: Sequence[Tensor], *, modality: Tensor | None = None) -> Tensor:
        """Return the features (N, D) of what the file transform gave for N images."""
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        features: Tensor = self.ask(torch.stack(list(inputs)).to(device))
        return features


def bicubic(images: Tensor, size: Sequence[int]) -> Tensor:
    """Return images (N, 3, H, W) in [0, 1] at another size, as Pillow's bicubic resizes them.

    Along rows, then along columns: bicubic weights overshoot, and Pillow clips after both.

    Args:
        images: (N, 3, h, w) in [0, 1].
        size: height and width, pixels.
    """
    for step in ((images.shape[-2], size[1]), tuple(size)):
        if tuple(images.shape[-2:]) != step:
            images = F.interpolate(
                images, step, mode="bicubic", antialias=True, align_corners=False
            ).clamp(0, 1)
    return images


def checked(images: Tensor) -> Tensor:
    """Return images (..., 3, H, W) in [0, 1] as they are.

    Raises:
        ConfigError: other channels, or whole numbers.
    """
    if not images.is_floating_point():
        raise ConfigError(
            f"images are floats in [0, 1], got {str(images.dtype).removeprefix('torch.')}; divide "
            "levels of 0 to 255 by 255"
        )
    if images.ndim < 4 or images.shape[-3] != 3:
        raise ConfigError(
            f"images are (N, 3, height, width), or (N, T, 3, height, width) of tracklets, got "
            f"{tuple(images.shape)}"
        )
    return images
