"""Features of test images attacked at the network's input size, for tests during training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks import Attack, References
from torchreid_adv.attacks.references import SIDE_RULES
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import quantize
from torchreid_adv.engines.batches import moved, pixel_model, to_pixels
from torchreid_adv.models import Features


class Pooled(nn.Module):
    """Tracklets as seen by an engine: pixels (N, [T,] 3, H, W) -> features (N, D).

    Args:
        engine: torchreid's engine; its ``extract_features`` pools the images of a tracklet.
    """

    def __init__(self, engine: Any) -> None:
        super().__init__()
        self.pixels = pixel_model(engine)
        self.method = getattr(engine, "pooling_method", "")

    def forward(self, images: Tensor, *, sizes: Tensor | None = None) -> Tensor:
        """Return one feature per image or tracklet."""
        features: Tensor = self.pixels(images)
        if images.ndim == 4:
            return features
        tracks = features.view(*images.shape[:2], -1)
        return tracks.mean(1) if self.method == "avg" else tracks.amax(1)


@dataclass(frozen=True)
class SideAttack:
    """An attack on one side of a test set, as loaded by torchreid.

    Args:
        attack: the attack.
        side: ``gallery`` or ``query``.
    """

    attack: Attack
    side: str

    def features(self, engine: Any, loader: Any, clean: dict[str, Features]) -> Features:
        """Return the features of the side after the attack, rounded to whole gray levels.

        Args:
            engine: torchreid's engine, with its network in eval mode.
            loader: loader of the side.
            clean: clean features of both sides.
        """
        other = clean["query" if self.side == "gallery" else "gallery"]
        references, side_features = References(other, SIDE_RULES[self.side]), clean[self.side]
        model, values, start = Pooled(engine), side_features.values.clone(), 0
        for data in loader:
            images, pids, camids = engine.parse_data_for_eval(data)
            names = side_features.image_ids[start : start + len(images)]
            mask = references.mask(torch.as_tensor(pids), torch.as_tensor(camids), names).any(1)
            rows = mask.nonzero()[:, 0].tolist()
            if rows:
                images = images[rows].cuda() if engine.use_gpu else images[rows]
                labels = torch.as_tensor(pids)[rows], torch.as_tensor(camids)[rows]
                attacked = self._attacked(
                    model, images, labels, [names[r] for r in rows], references
                )
                place = torch.tensor(rows) + start
                values[place] = engine.extract_features(attacked).float().cpu()
            start += len(mask)
        return dataclasses.replace(side_features, values=values)

    def _attacked(
        self,
        model: Pooled,
        images: Tensor,
        labels: tuple[Tensor, Tensor],
        names: Sequence[str],
        references: References,
    ) -> Tensor:
        clean = to_pixels(model.pixels, images)
        batch = Batch(clean, pids=labels[0], camids=labels[1], image_ids=tuple(names))
        adversarial = self.attack(model, batch, references).images
        return moved(model.pixels, images, clean, quantize(adversarial, clean, self.attack.linf))
