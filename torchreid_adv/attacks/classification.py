"""The baseline of metric attacks: an attack on a classifier of identities."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.fgsm import PAPER, iteration_rule, sign_attack
from torchreid_adv.attacks.loop.gradient_attack import Adversarial, takes_tensors
from torchreid_adv.attacks.loop.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.described import Described
from torchreid_adv.core.pixels import from_levels, to_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.pixel_model import PixelModel, frozen
from torchreid_adv.models.prepare import InFormat


def identity_scores(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the logits (N, C) of each of a network's classifiers; PCB has one per part.

    The network returns its training output, while all of its layers are in eval mode.

    Args:
        model: one PixelModel, prepared or in eval mode.
        images: (N, 3, H, W) in [0, 1].
    """
    with _answering(model):
        answer: Any = model(images)
    if isinstance(answer, tuple):  # torchreid's output for the triplet loss: logits and features
        answer = answer[0]
    return list(answer) if isinstance(answer, (list, tuple)) else [answer]


def check_identities(model: PixelModel) -> None:
    """Refuse a network without identity outputs; its state is not changed.

    Raises:
        ConfigError: it returns features in training, too, or has only one identity.
    """
    weight = next(model.parameters())
    images = torch.zeros(2, 3, *model.size, device=weight.device, dtype=weight.dtype)
    with frozen(model), torch.no_grad():
        features, scores = model(images), identity_scores(model, images)
    same = any(
        logits.shape == features.shape and torch.equal(logits, features) for logits in scores
    )
    if same or any(logits.ndim != 2 or logits.shape[1] < 2 for logits in scores):
        raise ConfigError(
            "this network has no classifier of two or more training identities that it uses in "
            "training; choose another model.name"
        )


@contextlib.contextmanager
def _answering(model: nn.Module) -> Iterator[None]:
    """Inside the block, networks are in training mode at the root, and in eval mode below it."""
    parts = [part.network for part in model.modules() if isinstance(part, PixelModel)]
    roots = [*parts, *(part.network for part in parts if isinstance(part, InFormat))]
    flags = [root.training for root in roots]
    try:
        for root in roots:
            root.training = True
        yield
    finally:
        for root, flag in zip(roots, flags, strict=True):
            root.training = flag


class IdentityLogits(Objective):
    """Cross-entropy of an image's training identity.

    Test identities are unknown to the classifier, so its prediction for the clean image is the
    label there.

    Args:
        classifier: features (N, D) -> logits (N, C).
        known: the batch's pids are class numbers of the classifier, as in training.
    """

    def __init__(self, classifier: nn.Linear, *, known: bool = False) -> None:
        self.known = known
        self.weight = classifier.weight.detach()
        self.bias = None if classifier.bias is None else classifier.bias.detach()

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> cross-entropy; references are ignored."""

        def logits(images: Tensor) -> Tensor:
            features = embed(images)
            if features.shape[1] != self.weight.shape[1]:
                raise ConfigError(
                    f"the network's classifier takes {self.weight.shape[1]} numbers and its "
                    f"features have {features.shape[1]}; attack the metric, by 'ifgsm'"
                )
            bias = None if self.bias is None else self.bias.to(features)
            return F.linear(features, self.weight.to(features), bias)

        with torch.no_grad():
            labels = self._labels(batch) if self.known else logits(batch.images).argmax(1)
        return lambda images: F.cross_entropy(logits(images), labels, reduction="none")

    def _labels(self, batch: Batch) -> Tensor:
        if batch.pids is None:
            raise ConfigError("this attack needs Batch(images, pids=...), the training identities")
        return batch.pids.to(batch.images.device)


class ClassificationAttack(Described):
    """I-FGSM on the identity logits of a network with a classifier on its features.

    Args:
        budget: the budget, with step_size and steps.
    """

    def __init__(self, budget: Budget) -> None:
        self.name = "classification_ifgsm"
        self.linf: float | None = budget.eps
        self.step_size, self.steps = budget.required("step_size"), budget.required("steps")
        self.seed, self.precision = budget.seed, budget.precision

    def describe(self) -> dict[str, Any]:
        """Describe the attack for a report, lengths in gray levels."""
        return {
            "eps": round(to_levels(self.linf or 0), 6),
            "step_size": round(to_levels(self.step_size), 6),
            "steps": self.steps,
            "seed": self.seed,
            "precision": self.precision,
            "metric": "identity logits",
            "reference": "the classifier's own answer",
        }

    @takes_tensors
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Attack a batch; the model, the batch and the random state are left unchanged.

        Raises:
            ConfigError: the network has no classifier of training identities.
        """
        budget = Budget(
            eps=self.linf or 0,
            step_size=self.step_size,
            steps=self.steps,
            seed=self.seed,
            precision=self.precision,
        )
        loop = sign_attack(IdentityLogits(identity_classifier(model)), budget)
        return loop(model, batch)


def identity_classifier(model: nn.Module) -> nn.Linear:
    """Return the classifier of training identities inside or around a PixelModel.

    Raises:
        ConfigError: there is no classifier, or it was not loaded from the checkpoint.
    """
    members = [part for part in model.modules() if isinstance(part, PixelModel)]
    parts = list(members[0].network.named_modules()) if len(members) == 1 else []
    heads = [part for name, part in parts if name.split(".")[-1] == "classifier"]
    linear = [head for head in heads if isinstance(head, nn.Linear)]
    if len(linear) != 1:
        raise ConfigError(
            "the classification attack needs a single network with one linear layer named "
            f"'classifier' on its features, and this one has {len(linear)}; attack the metric, by "
            "'ifgsm'"
        )
    if linear[0].out_features < 2:
        raise ConfigError(
            "the classification attack needs the classifier that the network was trained with, and "
            "this network's has one class: it was not loaded from the checkpoint; build the "
            "network with num_classes = number of training identities and load its weights"
        )
    _check_takes_features(members[0], linear[0])
    return linear[0]


def _check_takes_features(model: PixelModel, classifier: nn.Linear) -> None:
    """Refuse a classifier whose input differs from the features but has the same length."""
    parameter = classifier.weight
    images = torch.zeros(1, 3, *model.size, device=parameter.device, dtype=parameter.dtype)
    with frozen(model), torch.no_grad():
        features, scores = model(images), identity_scores(model, images)
        if features.shape[1] != classifier.in_features or len(scores) != 1:
            return
        classifier_scores = classifier(features)
    if scores[0].shape == classifier_scores.shape and not torch.allclose(
        scores[0], classifier_scores, rtol=1e-3, atol=1e-4
    ):
        raise ConfigError(
            "the network's classifier does not see the features that it ranks by, but a further "
            "layer's; attack the metric, by 'ifgsm'"
        )


@attack(
    "classification_ifgsm",
    paper=PAPER,
    title="the baseline: sign steps on the identity logits",
    step_size=from_levels(1),
    steps=iteration_rule,
)
def classification_ifgsm(budget: Budget, distance: Distance) -> ClassificationAttack:
    """Build I-FGSM on the identity logits, the paper's baseline.

    Options:
        distance: ignored; this baseline does not use a metric.
        steps: None = :func:`iteration_rule`.
    """
    return ClassificationAttack(budget)
