"""An attack made on another model: what an attacker does who has only models like the target."""

from __future__ import annotations

from typing import Any

from torch import nn

from torchreid_adv.attacks.gradient_attack import Adversarial, Attack
from torchreid_adv.attacks.references import References
from torchreid_adv.data.batch import Batch


class Transferred:
    """Runs an attack on a surrogate, whatever model and references it is called with.

    Args:
        attack: how.
        surrogate: what is attacked instead.
        references: features of the surrogate.
    """

    precision = "fp32"

    def __init__(self, attack: Attack, surrogate: nn.Module, references: References) -> None:
        self.attack, self.surrogate, self.references = attack, surrogate, references
        self.linf, self.name = attack.linf, attack.name

    def describe(self) -> dict[str, Any]:
        """Return what a report says of the attack."""
        return {**self.attack.describe(), "made_on": "surrogates"}

    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Return what the attack on the surrogate gives."""
        return self.attack(self.surrogate, batch, self.references)
