"""``adv.engine: vi_self_attack``: the three updates per batch (Algorithm 1), and their losses.

Losses are computed per modality and then summed, as in eqs. 3, 5, 9 and 16.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.cross_modality.samplers import PairedSampler
from torchreid_adv.data.cross_modality.tracklets import TrackletDataset
from torchreid_adv.engines.modalities import TrackletEvaluationMixin
from torchreid_adv.engines.resume import ResumableMixin
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.checkpoints import unwrap
from torchreid_adv.models.self_attack import SelfAttackVideo
from torchreid_adv.models.self_attack.parts import group_parameters, moved
from torchreid_adv.registry import ENGINES


def per_modality(values: Tensor, modality: Tensor) -> Tensor:
    """Return the mean over visible plus the mean over infrared: the factor 2 / n_b.

    Args:
        values: (N,) values of tracklets.
        modality: (N,) 0 visible, 1 infrared.
    """
    return values[modality == 0].mean() + values[modality == 1].mean()


def identity_loss(logits: Tensor, pids: Tensor, modality: Tensor) -> Tensor:
    """Return the cross-entropy of identities (eqs. 5, 9 and 16); logits (N, M), pids (N,)."""
    return per_modality(F.cross_entropy(logits, pids, reduction="none"), modality)


def confusion_loss(logits: Tensor, modality: Tensor) -> Tensor:
    """Return the cross-entropy to uniform identities (eq. 3); minimum 2 ln M, if uniform."""
    return per_modality(-F.log_softmax(logits, dim=1).mean(1), modality)


def batch_hard(features: Tensor, pids: Tensor, *, margin: float, squared: bool = False) -> Tensor:
    """Return the triplet loss of eq. 10, with furthest positives and nearest negatives.

    Args:
        features: (N, D) features of both modalities.
        pids: (N,) identities.
        margin: margin alpha.
        squared: use squared distances, as printed in the paper; with features after a BatchNorm
            they are in the hundreds, and the margin has no effect.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    distances = distances.square() if squared else distances
    same = pids[:, None] == pids[None]
    positive = distances.masked_fill(~same, -torch.inf).amax(1)
    negative = distances.masked_fill(same, torch.inf).amin(1)
    return F.relu(positive - negative + margin).mean()


Losses = dict[str, Tensor]


@ENGINES.register("vi_self_attack", title="visible-infrared tracklets: self-attack and its defense")
class VISelfAttackMixin(TrackletEvaluationMixin, ResumableMixin):
    """Each batch updates the defense, the body parts and the attack, in this order.

    After ``adv.video.first_epochs`` the defender's classifier is frozen, and the defense updates
    only the defender. Parameters outside a step do not change at all, not even by momentum or
    weight decay: their gradients are removed, whatever torchreid opens at the start of an epoch.
    """

    video_config: AdvConfig

    def adapt(self, cfg: AdvConfig) -> None:
        """Read the config.

        Raises:
            ConfigError: the network, data set, sampler or batch is not supported.
        """
        _check(self, cfg)
        self.video_config = cfg
        self.resume(cfg)

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch, at a fraction of the scheduled learning rate during warm-up."""
        warmup = self.video_config.adv.video.warmup
        share = min(1.0, (self.epoch + 1) / warmup) if warmup else 1.0
        self._scheduled = [group["lr"] for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            group["lr"] *= share
        super().train(*args, **keywords)

    def update_lr(self, names: Any = None) -> None:
        """Restore the schedule's rate, and step the schedule."""
        for group, rate in zip(self.optimizer.param_groups, self._scheduled, strict=True):
            group["lr"] = rate
        super().update_lr(names)

    def forward_backward(self, data: Any) -> dict[str, float]:
        """Train on a batch of tracklets.

        Raises:
            ConfigError: the tracklets are not pairs of both modalities.
            DataError: a loss is not finite.
        """
        clips, pids, modality = data["img"], data["pid"], data["dsetid"] % 2
        _check_pairs(pids, modality)
        if self.use_gpu:
            clips, pids, modality = clips.cuda(), pids.cuda(), modality.cuda()
        summary: dict[str, float] = {}
        for step in self._steps():
            summary |= self._update(step, clips, pids, modality)
        return summary

    def _steps(self) -> list[str]:
        """Return the updates of a batch for which the network has modules."""
        network = unwrap(self.model)
        has_module = {
            "parts": network.guidance is not None,
            "attack": network.attention is not None,
        }
        if self.video_config.adv.video.update == "joint":
            return ["all"]
        return [step for step in ("defense", "parts", "attack") if has_module.get(step, True)]

    def _update(self, step: str, clips: Tensor, pids: Tensor, modality: Tensor) -> dict[str, float]:
        """Take one step of the optimizer; return its unweighted losses."""
        fixed = self.epoch >= self.video_config.adv.video.first_epochs
        self.optimizer.zero_grad(set_to_none=True)
        outputs = self.model(clips, modality, step=step, fixed=fixed)
        losses = self._losses(outputs, pids, modality)
        summary = {name: float(loss.detach()) for name, loss in losses.items()}
        self._check_finite(summary)
        self._weighted(losses).backward()
        self._keep(moved(step, fixed=fixed))
        with self._parts_at_own_rate():
            self.optimizer.step()
        if "defense" in outputs:
            right = outputs["defense"].argmax(1) == pids
            summary["acc"] = 100 * float(right.float().mean())
        return summary

    def _weighted(self, losses: Losses) -> Tensor:
        """Return eq. 17 for the available losses."""
        attack, defense, parts = self.video_config.adv.video.weights
        weights = {"id": defense, "triplet": defense, "parts": parts, "fool": 1.0, "attack": attack}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def _losses(self, outputs: dict[str, Tensor], pids: Tensor, modality: Tensor) -> Losses:
        """Return the unweighted losses of a step's outputs."""
        losses: Losses = {}
        if "defense" in outputs:
            kind = self.video_config.adv.video.triplet
            losses["id"] = identity_loss(outputs["defense"], pids, modality)
            losses["triplet"] = batch_hard(
                outputs["pooled" if kind == "pooled" else "feature"],
                pids,
                margin=lookup(self.video_config, "loss.triplet.margin", 0.3),
                squared=kind == "squared",
            )
        if "parts" in outputs:
            losses["parts"] = identity_loss(outputs["parts"], pids, modality)
        if "attack" in outputs:
            losses["fool"] = confusion_loss(outputs["fooled"], modality)
            losses["attack"] = identity_loss(outputs["attack"], pids, modality)
        return losses

    def _keep(self, groups: tuple[str, ...]) -> None:
        """Remove the gradients of all other parameters; some wrappers set them to zero."""
        network = unwrap(self.model)
        assert isinstance(network, SelfAttackVideo)
        kept_ids = set(map(id, group_parameters(network, groups)))
        for parameter in network.parameters():
            if id(parameter) not in kept_ids:
                parameter.grad = None

    @contextlib.contextmanager
    def _parts_at_own_rate(self) -> Iterator[None]:
        """Scale a step of the body parts' classifier by ``adv.video.parts_rate``.

        In torchreid's optimizers the change of a weight is linear in the learning rate, including
        momentum and weight decay.
        """
        rate = self.video_config.adv.video.parts_rate
        network = unwrap(self.model)
        assert isinstance(network, SelfAttackVideo)
        parameters = [] if rate == 1 else group_parameters(network, ("classifier_parts",))
        before = [parameter.detach().clone() for parameter in parameters]
        yield
        with torch.no_grad():
            for parameter, old in zip(parameters, before, strict=True):
                parameter.copy_(old + rate * (parameter - old))

    def _check_finite(self, losses: dict[str, float]) -> None:
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise DataError(
                    f"the loss '{name}' is {loss} in epoch {self.epoch + 1}, batch "
                    f"{self.batch_idx + 1}; lower train.lr, or start from a whole checkpoint"
                )


def _check(engine: Any, cfg: AdvConfig) -> None:
    network = unwrap(engine.model)
    if not isinstance(network, SelfAttackVideo):
        raise ConfigError(
            f"adv.engine vi_self_attack trains self_attack_video, got {type(network).__name__}; "
            "set model.name self_attack_video or self_attack_video_resnet18"
        )
    if isinstance(engine.model, nn.parallel.DistributedDataParallel):
        raise ConfigError(
            "adv.engine vi_self_attack trains parts of the network in turn, which "
            "DistributedDataParallel does not; start it without torchrun"
        )
    loader = engine.train_loader
    dataset = getattr(loader.dataset, "images", loader.dataset)
    if engine.datamanager.data_type != "video" or not isinstance(dataset, TrackletDataset):
        raise ConfigError(
            "adv.engine vi_self_attack is for tracklets of two modalities; set data.type video and "
            "data.sources to vcm_i2v or virtual_vi_i2v, not mixed with others"
        )
    sampler = getattr(loader.sampler, "sampler", loader.sampler)
    if not lookup(cfg, "test.evaluate", False) and not isinstance(sampler, PairedSampler):
        raise ConfigError(
            "adv.engine vi_self_attack learns from pairs of both modalities; set "
            "sampler.train_sampler CrossModalityTrackletSampler"
        )
    if len(cfg.adv.video.weights) != 3:
        raise ConfigError(f"adv.video.weights are three numbers, got {list(cfg.adv.video.weights)}")
    devices = len(engine.model.device_ids) if isinstance(engine.model, nn.DataParallel) else 1
    if devices > 1 and (loader.batch_size // getattr(sampler, "num_instances", 1)) % devices:
        raise ConfigError(
            f"DataParallel would cut identities apart on {devices} GPUs; make train.batch_size a "
            "multiple of sampler.num_instances times the GPUs, or show one of them"
        )


def _check_pairs(pids: Tensor, modality: Tensor) -> None:
    visible, infrared = pids[modality == 0], pids[modality == 1]
    if len(visible) != len(infrared) or not torch.equal(visible, infrared):
        raise ConfigError(
            f"a batch has {len(visible)} visible and {len(infrared)} infrared tracklets that are "
            "not pairs of one identity each; set sampler.train_sampler CrossModalityTrackletSampler"
        )
