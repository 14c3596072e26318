"""Models of images, and PixelModel: attacks need not know its size or normalization."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import transforms as T

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.output import Output, asked, features_in, joined_parts
from torchreid_adv.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

FLIPS, PARTS = ("none", "sum"), ("none", "unit")


class ImageModel(nn.Module, ABC):
    """Images in [0, 1] of any size -> features; and the same for files, as in torchreid."""

    @abstractmethod
    def file_transform(self) -> Callable[[Any], Any]:
        """Return the transform of a PIL image for the processes that read files; picklable.

        For a model of tracklets, it takes the list of a clip's images.
        """

    @abstractmethod
    def of_files(
        self, inputs: Sequence[Any], *, modality: Tensor | None = None, **labels: Tensor
    ) -> Tensor:
        """Return the features (N, D) of outputs of the file transform for N images or tracklets.

        Args:
            inputs: N outputs of the file transform.
            modality: (N,) modalities; None = unknown.
            labels: ``camera`` and ``view`` (N,), for a model whose ``record_labels`` name them.
        """


def labels_of(model: nn.Module) -> tuple[str, ...]:
    """Return which of ``camera`` and ``view`` a model, or a model inside it, needs."""
    labels = [name for part in model.modules() for name in getattr(part, "record_labels", ())]
    return tuple(dict.fromkeys(labels))


def any_labels(model: nn.Module, count: int) -> dict[str, Tensor]:
    """Return labels for images that belong to no data set: the first of each kind."""
    return {name: torch.zeros(count, dtype=torch.int64) for name in labels_of(model)}


class BlackBox(nn.Module):
    """A network without a gradient; only attacks by queries work on it."""

    what = "a black box"  # description of the network in a sentence


def black_box(model: nn.Module) -> str:
    """Return why a model has no gradient, "" if no reason is known."""
    return next((part.what for part in model.modules() if isinstance(part, BlackBox)), "")


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Freeze a model's weights and set eval mode; restore every flag afterward."""
    training = [(module, module.training) for module in model.modules()]
    needing = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        yield model.eval().requires_grad_(False)
    finally:
        for module, flag in training:
            module.training = flag
        for weight, needed in needing:
            weight.requires_grad_(needed)


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """Return a mean or std as floats.

    Raises:
        ConfigError: it is not a sequence of numbers.
    """
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{name} is three numbers, for red, green and blue, got {values!r}"
        ) from error


class PixelModel(ImageModel):
    """Crop, resize, normalize, network: images in [0, 1] of any size -> features (N, D).

    Args:
        network: eval-mode torchreid network, or any module (N, 3, H, W) -> (N, D).
        size: height and width of the network's input.
        mean: mean of the training pixels, three numbers in units of ``range``: red, green, blue.
        std: standard deviation of the training pixels, three positive numbers, likewise.
        output: selects the features among several outputs: an index if the network returns a list
            or tuple, a key if it returns a dict, a path such as ``last_hidden_state.0``; None =
            only one tensor can be the features.
        resize: how images are resized to that size, see :class:`Preprocessing`.
        order: order of the network's input channels, ``rgb`` or ``bgr``.
        range: pixels are in [0, 1] or in [0, 255] before normalization.
        letterbox: keeps the aspect ratio, see :class:`Preprocessing`.
        pad: levels around a letterbox.
        flip: ``sum`` adds the features of the mirrored image.
        parts: ``unit`` takes features of P parts (N, D, P), normalizes and concatenates them.

    Raises:
        ConfigError: a size, mean, std or rule is invalid; in a call, the images or the network's
            outputs are invalid.

    Example:
        >>> model = PixelModel(network, size=(256, 128))
        >>> features = model(torch.rand(4, 3, 128, 64))
    """

    caches = ("_moments", "entry")
    entry = ""  # that it was loaded by, as lists of models have it

    def __init__(
        self,
        network: nn.Module,
        *,
        size: Sequence[int] = (256, 128),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        output: Output = None,
        resize: str = "pillow",
        order: str = "rgb",
        range: int = 1,
        letterbox: str = "",
        pad: Sequence[int] = (114, 114, 114),
        flip: str = "none",
        parts: str = "none",
    ) -> None:
        super().__init__()
        self.preprocessing = Preprocessing(
            tuple(int(side) for side in size),  # type: ignore[arg-type]
            _numbers("mean", mean),
            _numbers("std", std),
            resize=resize,
            order=order,
            range=range,
            letterbox=letterbox,
            pad=tuple(pad),
        )
        if flip not in FLIPS or parts not in PARTS:
            raise ConfigError(f"flip is one of {FLIPS}, parts of {PARTS}; got {flip!r}, {parts!r}")
        self.network = network
        self.output = output
        self.flip, self.parts = flip, parts
        self.record_labels: tuple[str, ...] = tuple(getattr(network, "record_labels", ()))
        self._moments: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    def __repr__(self) -> str:
        source = f" of '{self.entry}'" if self.entry else ""
        further = {"flip": self.flip, "parts": self.parts, "output": self.output}
        told = [f"{k} {v}" for k, v in further.items() if v not in (None, "none")]
        parts = [f"{type(self.network).__name__}{source}", str(self.preprocessing), *told]
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.preprocessing.size

    @property
    def resize_name(self) -> str:
        """The resize to the input size, as entries write it."""
        return "letterbox" if self.preprocessing.letterbox else self.preprocessing.resize

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean subtracted from red, green and blue."""
        return self.preprocessing.mean

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation that red, green and blue are divided by."""
        return self.preprocessing.std

    def forward(
        self,
        images: Tensor,
        *,
        sizes: Tensor | None = None,
        modality: Tensor | None = None,
        **labels: Tensor,
    ) -> Tensor:
        """Return features (N, D).

        Args:
            images: (N, 3, H, W) in [0, 1]; tracklets (N, T, 3, H, W) are flattened to N x T.
            sizes: (N, 2) height and width of each image on the canvas; None = the whole canvas.
            modality: ignored by a network of one modality.
            labels: ``camera`` and ``view`` (N,), if ``record_labels`` names them.
        """
        if images.ndim == 5:
            images = images.flatten(0, 1)
            sizes = None if sizes is None else sizes.flatten(0, 1)
        inputs = self.normalize(self.resize(checked(images), sizes))
        return self.ask(inputs, *self._labels(labels, inputs))

    def _labels(self, labels: Mapping[str, Tensor], inputs: Tensor) -> list[Tensor]:
        """Return the labels that the network needs, in its order.

        Raises:
            ConfigError: a required label is missing, or is not one number for each image.
        """
        tensors = []
        for name in self.record_labels:
            values = labels.get(name)
            if values is None or tuple(values.shape) != (len(inputs),):
                raise ConfigError(
                    f"this network needs the {name} of each image, as it was loaded with "
                    f"{name}=data; call it with {name}= (N,), or load it with @{name}=0"
                )
            tensors.append(values.to(inputs.device))
        return tensors

    def ask(self, inputs: Tensor, *further: Any) -> Any:
        """Return the network's features (N, D) for normalized inputs (N, ...).

        In train mode the network's outputs are returned unchanged.
        """
        answer = asked(self.network, inputs, *further)
        if self.network.training:
            return answer
        features = features_in(answer, self.output, len(inputs), parts=self.parts == "unit")
        if self.flip == "sum":
            mirrored = asked(self.network, inputs.flip(-1), *further)
            features = features + features_in(
                mirrored, self.output, len(inputs), parts=self.parts == "unit"
            )
        return joined_parts(features) if self.parts == "unit" else features

    def resize(self, images: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Resize each image from its own size to the network's, close to the resize of files.

        Like files, it is antialiased for Pillow's methods: otherwise a smaller target would sample
        single pixels and differ from what is scored.
        """
        resized = self.preprocessing.resized
        if sizes is None or bool((sizes == sizes.new_tensor(images.shape[-2:])).all()):
            return resized(images)
        crops = [image[:, :h, :w] for image, (h, w) in zip(images, sizes.tolist(), strict=True)]
        return torch.cat([resized(crop[None]) for crop in crops])

    def normalize(self, images: Tensor) -> Tensor:
        """Scale to the range, subtract the mean, divide by the std, order the channels."""
        return self.preprocessing.to_network(images, *self.moments(images))

    def settings(self) -> dict[str, Any]:
        """Return the keywords to build this model around another network."""
        return {
            **self.preprocessing.settings(),
            "output": self.output,
            "flip": self.flip,
            "parts": self.parts,
        }

    def moments(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and std (3, 1, 1) with the dtype and device of a tensor.

        Cached, because copying a number to a GPU waits for all its pending work.
        """
        key = (like.device, like.dtype, self.mean, self.std)
        if key not in self._moments:
            with torch.inference_mode(False):  # cached beyond inference mode
                mean, std = (like.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
            self._moments[key] = (mean, std)
        return self._moments[key]

    def file_transform(self) -> T.Compose:
        """Return the source's test transform: PIL image -> normalized network input.

        Scores use it: it resizes to whole levels, which :meth:`forward` does not.
        """
        return self.preprocessing.file_transform()

    def of_files(
        self, inputs: Sequence[Tensor], *, modality: Tensor | None = None, **labels: Tensor
    ) -> Tensor:
        """Return the features (N, D) of N outputs of the file transform."""
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        stacked = torch.stack(list(inputs)).to(device)
        features: Tensor = self.ask(stacked, *self._labels(labels, stacked))
        return features


def checked(images: Tensor) -> Tensor:
    """Check images (..., 3, H, W) in [0, 1] and return them.

    Raises:
        ConfigError: the number of channels differs, or pixels are integers.
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
