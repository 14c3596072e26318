"""The loss of a batch as a function of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from torchreid_adv.engines.batch_norm import batch_norm
from torchreid_adv.engines.mixture import Mixture
from torchreid_adv.engines.randomness import kept_random_state, random_state, set_random_state
from torchreid_adv.engines.reid_loss import ReidLoss


class LossAt:
    """Calls a network with other weights in the places of its own.

    With none replaced it is the network's own pass, from which running statistics learn; a pass
    with replaced weights learns into copies that are dropped. Later passes draw what the first one
    drew (dropout), so that their losses can be compared, and leave the generators as they were.

    Args:
        network: in training mode, out of DataParallel.
        batch: clean and adversarial images, and pids of this set from 0.
        loss: for as many identities as the logits have classes.
        policy: of BatchNorm, see :func:`batch_norm`.

    ``summary`` holds what the loss says of the first pass.
    """

    def __init__(
        self, network: nn.Module, batch: Mixture, loss: ReidLoss, policy: str = "shared"
    ) -> None:
        self.network, self.batch, self.loss, self.policy = network, batch, loss, policy
        self.summary: dict[str, float] = {}
        self._drawn: dict[str, Any] | None = None

    def __call__(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the loss at these weights."""
        copies = self.network.named_buffers() if weights else ()
        replaced = {**weights, **{name: value.clone() for name, value in copies}}
        if self._drawn is None:
            self._drawn = random_state()
            return self._passed(replaced)
        with kept_random_state():
            set_random_state(self._drawn)
            return self._passed(replaced)

    def _passed(self, replaced: dict[str, Tensor]) -> Tensor:
        with batch_norm(self.network, self.policy, self.batch.adversarial):
            outputs = functional_call(self.network, replaced, (self.batch.images,))
        loss, summary = self.loss(outputs, self.batch.pids)
        self.summary = self.summary or summary
        return loss
