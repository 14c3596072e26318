"""TrackletModel: a network of tracklets that takes pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import transforms as T

from torchreid_adv.data.cross_modality.frames import dense
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.pixel_model import PixelModel, checked

POOLING = ("", "avg", "max")


class TrackletModel(PixelModel):
    """Crop, resize, normalize, network: tracklets in [0, 1] -> one feature each (N, D).

    Args:
        network: (N, T, 3, H, W), modality (N,) -> (N, D); with ``pooling``, a network of images.
        clip: frames that the network takes at a time; features of the clips of a longer tracklet
            are averaged. 0 = all frames are one clip.
        pooling: features of single frames are pooled as in torchreid's video engines, ``avg`` or
            ``max``; "" = the network takes tracklets.
        settings: ``size``, ``mean``, ``std``, ``output``..., see :class:`PixelModel`.

    Raises:
        ConfigError: the pooling is unknown, or a setting is invalid.

    Example:
        >>> model = TrackletModel(SelfAttackVideo(10).eval(), size=(288, 144))
        >>> features = model(torch.rand(4, 6, 3, 256, 128), modality=torch.tensor([0, 0, 1, 1]))
    """

    def __init__(
        self, network: nn.Module, *, clip: int = 0, pooling: str = "", **settings: Any
    ) -> None:
        super().__init__(network, **settings)
        if pooling not in POOLING or clip < 0:
            raise ConfigError(f"pooling is avg, max or '', clip 0 or more; got {pooling!r}, {clip}")
        if self.record_labels:
            raise ConfigError(
                f"a network that takes the {self.record_labels[0]} of each image describes no "
                f"tracklets; load it with @{self.record_labels[0]}=0"
            )
        self.clip, self.pooling = clip, pooling

    def forward(
        self,
        images: Tensor,
        *,
        sizes: Tensor | None = None,
        modality: Tensor | None = None,
        **labels: Tensor,
    ) -> Tensor:
        """Return features (N, D).

        Tracklets of different lengths go through the network one by one, otherwise together.

        Args:
            images: (N, T, 3, H, W) in [0, 1]; (N, 3, H, W) are tracklets of one frame.
            sizes: (N, T, 2) height and width of each frame, (0, 0) for missing frames; None = all
                fill the canvas.
            modality: (N,) 0 visible, 1 infrared; None = the network decides.
            labels: ignored.
        """
        if checked(images).ndim == 4:
            images, sizes = images[:, None], None if sizes is None else sizes[:, None]
        if sizes is None or bool((sizes > 0).all()):
            flat = self.resize(images.flatten(0, 1), None if sizes is None else sizes.flatten(0, 1))
            return self.described(self.normalize(flat).unflatten(0, images.shape[:2]), modality)
        is_frame = (sizes > 0).all(-1)
        rows = [
            self.resize(i[t], s[t])[None] for i, s, t in zip(images, sizes, is_frame, strict=True)
        ]
        return self._apart([self.normalize(row) for row in rows], modality)

    def _apart(self, clips: Sequence[Tensor], modality: Tensor | None) -> Tensor:
        """Return the features (N, D) of N normalized tracklets (1, T, 3, h, w), one by one."""
        modalities = [None] * len(clips) if modality is None else modality.split(1)
        return torch.cat([self.described(*pair) for pair in zip(clips, modalities, strict=True)])

    def described(self, clips: Tensor, modality: Tensor | None) -> Tensor:
        """Return the features (N, D) of normalized tracklets (N, T, 3, h, w), of equal length."""
        if self.pooling:
            frames: Tensor = self.ask(clips.flatten(0, 1))
            tracks = frames.unflatten(0, clips.shape[:2])
            return tracks.mean(1) if self.pooling == "avg" else tracks.amax(1)
        if not self.clip:
            features: Tensor = self.ask(clips, modality)
            return features
        rows = dense(clips.shape[1], self.clip)
        cut = clips[:, rows].unflatten(1, (-1, self.clip))
        clip_modality = None if modality is None else modality.repeat_interleave(cut.shape[1])
        parts: Tensor = self.ask(cut.flatten(0, 1), clip_modality)
        return parts.unflatten(0, cut.shape[:2]).mean(1)

    def file_transform(self) -> Any:
        """Return the transform of a clip's list of PIL images -> (T, 3, H, W); picklable."""
        return ClipFiles(super().file_transform())

    def of_files(
        self, inputs: Sequence[Tensor], *, modality: Tensor | None = None, **labels: Tensor
    ) -> Tensor:
        """Return the features (N, D) of outputs of the file transform for N tracklets."""
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        device_modality = None if modality is None else modality.to(device)
        if len({len(clip) for clip in inputs}) == 1:
            return self.described(torch.stack(list(inputs)).to(device), device_modality)
        return self._apart([clip[None].to(device) for clip in inputs], device_modality)


class ClipFiles:
    """Applies a transform of single images to each image of a list.

    Args:
        transform: PIL image -> tensor (3, H, W).
    """

    def __init__(self, transform: Callable[[Any], Tensor] | T.Compose) -> None:
        self.transform = transform

    def __call__(self, images: Sequence[Any]) -> Tensor:
        """Return a clip (T, 3, H, W)."""
        return torch.stack([self.transform(image) for image in images])


def of_tracklets(model: PixelModel, *, clip: int = 0, pooling: str = "") -> TrackletModel:
    """Return a loaded model as a model of tracklets; the network is shared.

    Args:
        model: a model with a network of tracklets or images.
        clip: see :class:`TrackletModel`.
        pooling: pooling for a network of images.
    """
    used_pooling = "" if takes_tracklets(model.network) else pooling
    tracklet_model = TrackletModel(
        model.network, clip=clip, pooling=used_pooling, **model.settings()
    )
    return tracklet_model.train(model.training)


def takes_tracklets(network: nn.Module) -> bool:
    """Tell whether a network takes whole tracklets (N, T, 3, H, W)."""
    return bool(getattr(network, "takes_tracklets", False))
