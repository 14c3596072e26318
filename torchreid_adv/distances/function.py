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
    """Distances given by a function of two sets of features.

    The function is tested on random features of the right length when the first features come.

    Args:
        function: a (N, D), b (M, D) -> distances (N, M), differentiable; an entry depends on its
            two rows only.
        name: name of the function, for messages and results.
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
        """Return the distance given by the function ``module:function``.

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
        """Not available: the distance is not a squared Euclidean one in any space.

        Raises:
            ConfigError: always; the caller needs mapped features.
        """
        raise ConfigError(
            f"the distance '{self.name}' is a function, not a squared Euclidean distance of mapped "
            "features, which re-ranking and attacks without references need; use it with "
            "fgsm, ifgsm or mifgsm and without re-ranking, or choose a registered distance"
        )

    def map(self, features: Tensor) -> Tensor:
        """Return the features (N, D), normalized if so configured; the function does the rest.

        Raises:
            ConfigError: the function is not a valid distance.
        """
        mapped = super().map(features)
        key = (mapped.shape[1], mapped.dtype)
        if key not in self._tried:
            self._try(mapped)
            self._tried.add(key)
        return mapped

    def between(self, a: Tensor, b: Tensor, *, squares: Tensor | None = None) -> Tensor:
        """Return the function's distances (N, M); ``squares`` are ignored.

        Raises:
            ConfigError: the function fails, or returns a wrong shape, NaN or infinity.
        """
        shapes = f"features {tuple(a.shape)} and {tuple(b.shape)}"
        try:
            distances = self.function(a, b)
        except Exception as error:  # a user's function may raise anything
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"the distance '{self.name}' fails on {shapes}: {reason}") from error
        if not isinstance(distances, Tensor) or distances.shape != (len(a), len(b)):
            got = (
                tuple(distances.shape)
                if isinstance(distances, Tensor)
                else type(distances).__name__
            )
            raise ConfigError(
                f"the distance '{self.name}' returns a tensor ({len(a)}, {len(b)}) for {shapes}, "
                f"got {got}"
            )
        if not torch.isfinite(distances).all():
            raise ConfigError(f"the distance '{self.name}' gives NaN or infinity for {shapes}")
        return distances.contiguous()

    def _try(self, like: Tensor) -> None:
        """Test the function on random features: it must be differentiable and not mix rows."""
        draws = torch.Generator().manual_seed(0)
        a, b = (torch.randn(n, like.shape[1], generator=draws).to(like) for n in (3, 4))
        a, b = super().map(a).requires_grad_(), super().map(b)
        with torch.enable_grad():
            distances = self.between(a, b)
            gradient = None
            if distances.requires_grad:
                (gradient,) = torch.autograd.grad(distances.sum(), a, allow_unused=True)
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
        if not torch.allclose(alone[0, 0], distances[1, 2].detach(), rtol=1e-3, atol=1e-5):
            raise ConfigError(
                f"the distance '{self.name}' of two features changes with the others; an entry of "
                "its result may depend on its own two rows only"
            )
