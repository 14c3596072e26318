"""Any differentiable function as a distance, named ``module:function``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from torchreid_adv.distances.base import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import resolve

Function = Callable[[Tensor, Tensor], Tensor]  # (N, D), (M, D) -> (N, M)


class FunctionDistance(Distance):
    """Distances by a function of two sets of features.

    It is tried on random features of the length at hand when the first features come.

    Args:
        function: a (N, D), b (M, D) -> distances (N, M), differentiable; an entry depends on its
            two rows only.
        name: of the function, for messages and results.
        normalize: L2-normalize features before the function gets them.

    Example:
        >>> distance = FunctionDistance(torch.cdist, name="torch:cdist")
    """

    squared_euclidean = False
    caches = ("_tried",)

    def __init__(self, function: Function, *, name: str, normalize: bool = False) -> None:
        super().__init__(normalize=normalize)
        self.function = function
        self._name = name
        self._tried: set[tuple[int, torch.dtype]] = set()

    @classmethod
    def named(cls, name: str, *, normalize: bool = False) -> FunctionDistance:
        """Return the distance by the function that ``module:function`` names.

        Raises:
            ConfigError: the module cannot be imported, or has no such function.
        """
        function = resolve(name, kind="distance", example="my_metrics:distance")
        return cls(function, name=name, normalize=normalize)

    @property
    def name(self) -> str:
        """``module:function``."""
        return self._name

    @property
    def scale(self) -> float:  # type: ignore[override]
        """Refused: there is no space in which the distance is a squared Euclidean one.

        Raises:
            ConfigError: always; whoever asks reckons with mapped features.
        """
        raise ConfigError(
            f"the distance '{self.name}' is a function, no squared Euclidean distance of mapped "
            "features, which re-ranking and attacks without references reckon with; use it with "
            "fgsm, ifgsm or mifgsm and without re-ranking, or choose a registered distance"
        )

    def map(self, features: Tensor) -> Tensor:
        """Return the features (N, D), normalized if they shall be; the function does the rest.

        Raises:
            ConfigError: the function does not do what a distance has to.
        """
        mapped = super().map(features)
        key = (mapped.shape[1], mapped.dtype)
        if key not in self._tried:
            self._try(mapped)
            self._tried.add(key)
        return mapped

    def between(self, a: Tensor, b: Tensor, *, squares: Tensor | None = None) -> Tensor:
        """Return the function's distances (N, M); ``squares`` are not looked at.

        Raises:
            ConfigError: the function fails, or gives another shape, NaN or infinity.
        """
        shapes = f"features {tuple(a.shape)} and {tuple(b.shape)}"
        try:
            found = self.function(a, b)
        except Exception as error:  # whatever a user's function raises
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"the distance '{self.name}' fails on {shapes}: {reason}") from error
        if not isinstance(found, Tensor) or found.shape != (len(a), len(b)):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(
                f"the distance '{self.name}' returns a tensor ({len(a)}, {len(b)}) for {shapes}, "
                f"got {got}"
            )
        if not torch.isfinite(found).all():
            raise ConfigError(f"the distance '{self.name}' gives NaN or infinity for {shapes}")
        return found.contiguous()

    def _try(self, like: Tensor) -> None:
        """Refuse a function that is not differentiable or mixes rows, on a random pair."""
        draws = torch.Generator().manual_seed(0)
        a, b = (torch.randn(n, like.shape[1], generator=draws).to(like) for n in (3, 4))
        a, b = super().map(a).requires_grad_(), super().map(b)
        with torch.enable_grad():
            found = self.between(a, b)
            gradient = None
            if found.requires_grad:
                (gradient,) = torch.autograd.grad(found.sum(), a, allow_unused=True)
        if gradient is None:
            raise ConfigError(
                f"the distance '{self.name}' has no gradient with respect to its first features; "
                "write it in differentiable torch operations"
            )
        if not torch.isfinite(gradient).all() or not gradient.any():
            raise ConfigError(
                f"the gradient of the distance '{self.name}' is zero, NaN or infinite for random "
                "features"
            )
        alone = self.between(a[1:2].detach(), b[2:3])
        if not torch.allclose(alone[0, 0], found[1, 2].detach(), rtol=1e-3, atol=1e-5):
            raise ConfigError(
                f"the distance '{self.name}' of two features changes with the others; an entry of "
                "its result may depend on its own two rows only"
            )
