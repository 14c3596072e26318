"""What a mis-ranking generator minimizes: logarithms of a reversed triplet and of a wrong label."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.attacks.triplets import same_identity, single_features
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.models.identity_scores import identity_scores

SMOOTHING = 0.1
_TINY = 1e-12  # below a logarithm; a loss of 0 gives no gradient


class MisRankingLoss:
    """``log CE + log [|f(x~) - f(x_n)| - |f(x~) - f(x_p)| + margin]_+``, means over the batch.

    Wang et al., Transferable, Controllable, and Inconspicuous Adversarial Attacks on Person
    Re-identification With Deep Mis-Ranking, 2020. x_p is the image of the same identity that is
    nearest to the adversarial feature now and is pushed away; x_n that of another identity that is
    furthest and is pulled near. Both are clean, as a gallery is; an image is its own x_p only where
    it is alone with its identity. The label, smoothed, is the training identity that the network
    finds least likely for the clean image; the CE of several classifiers (PCB) is their mean.

    Args:
        distance: in whose space features are compared.
        margin: in that space's unit.
        identity: with the cross-entropy, for networks that have a classifier.

    Raises:
        ConfigError: a distance that maps no single features.
    """

    def __init__(self, distance: Distance, *, margin: float = 0.3, identity: bool = True) -> None:
        single_features(distance)
        self.distance, self.margin, self.identity = distance, margin, identity

    def bind(self, model: nn.Module, batch: Batch) -> Callable[[Tensor], dict[str, Tensor]]:
        """Return images -> the logarithms ``triplet`` and, where it counts, ``identity``.

        Args:
            model: images -> features, prepared or in eval mode.
            batch: clean images of one size with pids.

        Raises:
            ConfigError: no identities, or only one.
        """
        same = same_identity(batch)
        with torch.no_grad():
            clean = self.distance.map(model(batch.images))
            scores = identity_scores(model, batch.images) if self.identity else []
        labels = [one.argmin(1) for one in scores]

        def losses(images: Tensor) -> dict[str, Tensor]:
            moved = self.distance.map(model(images))
            hinge = reversed_hardest(moved, clean, same, margin=self.margin)
            parts = {"triplet": _log(hinge.mean())}
            if self.identity:
                wrong = [
                    F.cross_entropy(one, label, label_smoothing=SMOOTHING)
                    for one, label in zip(identity_scores(model, images), labels, strict=True)
                ]
                parts["identity"] = _log(torch.stack(wrong).mean())
            return parts

        return losses


def reversed_hardest(moved: Tensor, clean: Tensor, same: Tensor, *, margin: float) -> Tensor:
    """Return ``[max_n |m_i - c_n| - min_p |m_i - c_p| + margin]_+`` (N,).

    Args:
        moved: adversarial features (N, E).
        clean: clean features (N, E).
        same: (N, N) bool, of one identity.
        margin: in the features' unit.
    """
    between = torch.cdist(moved, clean, compute_mode="donot_use_mm_for_euclid_dist")
    own = torch.eye(len(same), dtype=torch.bool, device=same.device)
    lonely = same.sum(1, keepdim=True) == 1
    positives = same & (~own | lonely)
    nearest = between.masked_fill(~positives, torch.inf).amin(1)
    furthest = between.masked_fill(same, -torch.inf).amax(1)
    return (furthest - nearest + margin).clamp_min(0)


def _log(loss: Tensor) -> Tensor:
    return loss.clamp_min(_TINY).log()
