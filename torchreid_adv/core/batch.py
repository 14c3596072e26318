"""A batch of images of any sizes, with a random generator for each image."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from torchreid_adv.errors import ConfigError

EMPTY: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Images in [0, 1] on one zero-padded canvas.

    Args:
        images: (N, 3, H, W), or (N, T, 3, H, W) for tracklets.
        sizes: (N, 2) or (N, T, 2) int64 height and width of each image, kept on the CPU so that
            reading them does not synchronize with the GPU; None = every image fills the canvas.
            Missing frames of a tracklet shorter than T have the size (0, 0).
        pids: (N,) identities, where known.
        camids: (N,) cameras, where known.
        image_ids: N names; by default their numbers.
        modality: (N,) modality of each, 0 visible and 1 infrared, or None.
        places: (N, S) int64, which of its T frames a tracklet shows at each place of the clip that
            the model sees, -1 for no frame; None = the clip is the T frames. A frame that appears
            twice in a short tracklet's clip is thus one image, with one perturbation.
        view: (N,) viewpoints, where known.

    Raises:
        ConfigError: images that are not in [0, 1], not finite, empty, or of another shape; places
            without tracklets, or beyond their frames.
    """

    images: Tensor
    sizes: Tensor | None = None
    pids: Tensor | None = None
    camids: Tensor | None = None
    image_ids: tuple[str, ...] = EMPTY
    modality: Tensor | None = None
    places: Tensor | None = None
    view: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.ndim not in (4, 5) or self.images.shape[-3] != 3 or 0 in shape:
            raise ConfigError(f"a batch is (N, 3, H, W) or (N, T, 3, H, W) images, got {shape}")
        if not self.images.is_floating_point():
            raise ConfigError(f"images are floats in [0, 1], got {self.images.dtype}")
        low, high = (float(v) for v in self.images.detach().aminmax())
        if not (low >= 0 and high <= 1):
            raise ConfigError(
                f"images are in [0, 1] before normalization, got [{low:.4g}, {high:.4g}]"
            )
        if self.places is not None and not self._fit(self.places):
            raise ConfigError(
                f"places are (N, S) numbers of frames, below {shape[1]} here, and -1 for none; got "
                f"{tuple(self.places.shape)} of images {shape}"
            )
        if not self.image_ids:
            object.__setattr__(self, "image_ids", tuple(str(i) for i in range(len(self.images))))

    def __len__(self) -> int:
        return len(self.images)

    def _fit(self, places: Tensor) -> bool:
        fits = self.images.ndim == 5 and places.ndim == 2 and len(places) == len(self.images)
        return fits and -1 <= int(places.min()) <= int(places.max()) < self.images.shape[1]

    def parts(self) -> list[tuple[int, tuple[int, ...], int, int]]:
        """Return every single image: row of the batch, index into ``images``, height, width."""
        lead = self.images.shape[:-3]
        sizes = torch.tensor(self.images.shape[-2:]).expand(*lead, 2)
        sizes = sizes if self.sizes is None else self.sizes
        indices = itertools.product(*map(range, lead))
        pairs = zip(indices, sizes.reshape(-1, 2).tolist(), strict=True)
        return [(index[0], index, h, w) for index, (h, w) in pairs if h and w]

    def embed(self, model: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        """Return images -> features (N, D), passing the model sizes, clips and labels.

        Args:
            model: takes images and ``sizes``, and ``modality`` where the batch has one.
        """
        keywords: dict[str, Any] = {"sizes": self.sizes}
        if self.modality is not None:
            keywords["modality"] = self.modality
        for name, values in (("camera", self.camids), ("view", self.view)):
            if values is not None and _wants(model, name):
                keywords[name] = values
        if self.places is None:
            return functools.partial(model, **keywords)
        rows, places = torch.arange(len(self))[:, None], self.places.cpu()
        is_shown, places = places >= 0, places.clamp_min(0)
        sizes = torch.tensor(self.images.shape[-2:]).expand(*self.images.shape[:2], 2)
        sizes = sizes if self.sizes is None else self.sizes
        keywords["sizes"] = sizes[rows, places] * is_shown[..., None]
        shown_frames = rows.to(self.images.device), places.to(self.images.device)
        return lambda images: model(images[shown_frames], **keywords)

    def rng(self, seed: int, *key: object) -> list[torch.Generator]:
        """Return one CPU generator per image; draws do not depend on the rest of the batch."""
        return [generator(seed, *key, image_id) for image_id in self.image_ids]

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        return dataclasses.replace(
            self,
            images=self.images.to(device),
            modality=None if self.modality is None else self.modality.to(device),
        )


def _wants(model: Any, name: str) -> bool:
    """Tell whether a model, or one of its parts, takes this label of each image."""
    parts = model.modules() if hasattr(model, "modules") else ()
    return any(name in getattr(part, "record_labels", ()) for part in parts)


def generator(*key: object) -> torch.Generator:
    """Return a generator seeded by a hash of the key, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


PADDING = 8  # a canvas may have this many times the pixels of its images
FREE = 2**22  # a canvas up to this many pixels is always allowed
Shape = tuple[int, ...]  # height and width


def together(shapes: Sequence[Sequence[Shape]], count: int = 0) -> list[slice]:
    """Group neighboring items that share a canvas; only heavy padding splits them.

    Args:
        shapes: one shape for each image, or the shapes of a tracklet's frames.
        count: images per canvas after it is filled up with copies of the last one; 0 = no filling.
    """
    rows, start = [], 0
    for end in range(2, len(shapes) + 1):
        if _is_padding(shapes[start:end], max(count, end - start)):
            rows.append(slice(start, end - 1))
            start = end - 1
    return [*rows, slice(start, len(shapes))]


def _is_padding(shapes: Sequence[Sequence[Shape]], count: int) -> bool:
    frames = [frame for clip in shapes for frame in clip]
    pixels = sum(height * width for height, width in frames) / len(shapes)
    height, width = (max(sides) for sides in zip(*frames, strict=True))
    canvas = max(map(len, shapes)) * height * width
    return count * canvas > PADDING * count * pixels + FREE


def pad(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Put as many of the first images (3, h, w) as share a canvas on one canvas.

    These are all images, unless their shapes differ widely, see :func:`together`; the others,
    ``images[len(sizes):]``, need further canvases.

    Returns:
        (N, 3, H, W) and the sizes (N, 2) of the N images on it.
    """
    return canvas(images[together([[tuple(image.shape[-2:])] for image in images])[0]])


def canvas(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Put images (3, h, w) of any sizes on one canvas: ((N, 3, H, W), sizes (N, 2))."""
    sizes = torch.tensor([image.shape[-2:] for image in images])
    height, width = (int(v) for v in sizes.amax(0))
    padded = images[0].new_zeros(len(images), 3, height, width)
    for row, image in zip(padded, images, strict=True):
        row[:, : image.shape[-2], : image.shape[-1]] = image
    return padded, sizes


def pad_clips(
    clips: Sequence[Sequence[Tensor]], places: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Put tracklets of any lengths and sizes on one canvas.

    Args:
        clips: N tracklets of images (3, h, w).
        places: for each tracklet, which of its images is shown at each place of its clip.

    Returns:
        (N, T, 3, H, W); sizes (N, T, 2), (0, 0) for missing frames; places (N, S), -1 after the
        end of a clip, or None if every clip shows its images in order.
    """
    longest = max(len(clip) for clip in clips)
    padded, sizes = canvas([image for clip in clips for image in clip])
    frames = padded.new_zeros(len(clips), longest, *padded.shape[1:])
    all_sizes = sizes.new_zeros(len(clips), longest, 2)
    start = 0
    for row, clip in enumerate(clips):
        end = start + len(clip)
        frames[row, : len(clip)], all_sizes[row, : len(clip)] = padded[start:end], sizes[start:end]
        start = end
    shown = torch.full((len(clips), max(map(len, places))), -1)
    for row, clip_places in enumerate(places):
        shown[row, : len(clip_places)] = torch.tensor(clip_places)
    plain = shown.shape[1] == longest and bool((shown == torch.arange(longest)).all())
    return frames, all_sizes, None if plain else shown


T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> list[list[T]]:
    """Cut items into chunks of one size; the last one may be shorter."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def filled(chunk: Sequence[T], size: int) -> list[T]:
    """Fill a chunk up by repeating its last item.

    Kernels may round differently for another batch size; only the first ``len(chunk)`` results
    count.
    """
    return [*chunk, *[chunk[-1]] * (size - len(chunk))]
