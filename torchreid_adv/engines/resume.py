"""Training that continues from a checkpoint as if it had not been interrupted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.engines.evaluation import Base
from torchreid_adv.engines.saving import (
    kept_random_state,
    random_state,
    set_random_state,
    whole_checkpoints,
)
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint

KEY = "adv_random"  # in a checkpoint


class ResumableMixin(Base):
    """Checkpoints also hold random generators and the sampler; evaluations do not affect them.

    A run that continues from ``model.resume`` on a CPU ends with the weights of an uninterrupted
    run.
    """

    _resumed: dict[str, Any] | None = None

    def resume(self, cfg: AdvConfig) -> None:
        """Read the state stored in ``model.resume`` besides weights, for the first epoch."""
        path = lookup(cfg, "model.resume", "")
        self._resumed = read_checkpoint(path).get(KEY) if path and Path(path).is_file() else None

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch, the first one from the stored state."""
        if self._resumed is not None:
            self._set_state(self._resumed)
            self._resumed = None
        super().train(*args, **keywords)

    def test(self, *args: Any, **keywords: Any) -> float:
        """Evaluate; the random draws of training are not affected."""
        with kept_random_state():
            rank1: float = super().test(*args, **keywords)
        return rank1

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Save the engine's checkpoint, with the state at the end of the epoch's training."""
        with self._complete(epoch, save_dir) as folder:
            super().save_model(epoch, rank1, folder, is_best=is_best)

    def save_before_test(self, save_dir: str) -> None:
        """Save the checkpoint of the epoch, with the same state."""
        with self._complete(self.epoch, save_dir) as folder:
            super().save_before_test(folder)

    @contextlib.contextmanager
    def _complete(self, epoch: int, save_dir: str) -> Iterator[str]:
        """Yield a folder for checkpoints, which get the state added and then replace older ones."""
        with whole_checkpoints(save_dir, self.leads) as folder:
            yield folder
            for name in self.get_model_names() if self.leads else ():
                path = Path(folder) / name / f"model.pth.tar-{epoch + 1}"
                if path.is_file():  # engines of learned attacks save no network
                    torch.save({**read_checkpoint(path), KEY: self.kept_state()}, path)

    def kept_state(self) -> dict[str, Any]:
        """Return what a checkpoint holds besides weights: plain values and tensors."""
        return {"generators": random_state(), "sampler": self._sampler_state()}

    def take_state(self, state: dict[str, Any]) -> None:
        """Continue from a state of :meth:`kept_state`."""
        set_random_state(state["generators"])
        if state["sampler"] is not None:
            self.train_loader.sampler.load_state_dict(state["sampler"])

    def _sampler_state(self) -> Any:
        state_dict = getattr(self.train_loader.sampler, "state_dict", None)
        return state_dict() if callable(state_dict) else None

    def _set_state(self, state: dict[str, Any]) -> None:
        try:
            self.take_state(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ConfigError(
                f"the random state in the checkpoint of model.resume cannot be used ({error}); "
                "resume with the config it was trained with, or start from model.load_weights"
            ) from error
