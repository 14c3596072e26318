"""Frozen networks replayed as CUDA graphs; deterministic kernels."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_SEEN = 2  # passes of a shape before its graph pays off; they also serve as warm-up
_LOOKS = 3  # consecutive passes that must agree: random or stateful networks are never replayed
_SHAPES = 4  # each graph holds the memory of its pass


class Graphed(nn.Module):
    """Replays forward and backward passes of a network as CUDA graphs, one per shape of input.

    Small networks and small batches leave a GPU waiting for Python, which launches hundreds of
    kernels per pass; a replay is one launch. The same kernels run, so results are bit-identical.
    A network runs normally on a CPU, in the first passes of a shape, if passes of the same
    images differ, if its code synchronizes with the device, or if a graph cannot be made.

    Weights may change in place; if one was replaced, :meth:`refresh` drops the graphs. Only first
    derivatives exist: a second one raises RuntimeError.

    Args:
        network: frozen, in eval mode; images (N, 3, H, W) -> features (N, D).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training
        self._seen: Counter[Any] = Counter()
        self._graphs: dict[Any, _Graph | None] = {}

    def refresh(self) -> None:
        """Drop the graphs if a weight or buffer has moved in memory since they were made."""
        if not self._graphs:
            return
        places = _places(self.network)
        self._graphs = {k: g for k, g in self._graphs.items() if g is None or g.places == places}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": Counter(), "_graphs": {}}

    def forward(self, images: Tensor, *further: Any) -> Any:
        """Return the network's output for images (N, 3, H, W)."""
        if images.device.type != "cuda" or further:
            return self.network(images, *further)
        key = (images.shape, images.stride(), images.dtype, images.device, settings())
        self._seen[key] += 1
        if self._seen[key] > _SEEN and key not in self._graphs and len(self._graphs) < _SHAPES:
            self._graphs[key] = _captured(self.network, images.detach())
        graph = self._graphs.get(key)
        return self.network(images) if graph is None else _Replay.apply(graph, images)


class _Graph:
    """One forward and one backward pass, and the memory they run in."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        self.images = images.clone(memory_format=torch.preserve_format).requires_grad_(True)
        self.turn, self.places = 0, _places(network)
        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.enable_grad():
            with _recording(self.forward):
                features = network(self.images)
            self.gradient = torch.zeros_like(features)
            with _recording(self.backward, pool=self.forward.pool()):
                (self.toward,) = torch.autograd.grad(features, self.images, self.gradient)
        self.features = features.detach()

    def run(self, images: Tensor) -> Tensor:
        self.images.data.copy_(images)
        self.forward.replay()
        self.turn += 1
        return self.features.clone()

    def run_back(self, gradient: Tensor) -> Tensor:
        self.gradient.copy_(gradient)
        self.backward.replay()
        self.turn += 1  # it may have overwritten results of the forward pass
        return self.toward.clone()


def _recording(graph: torch.cuda.CUDAGraph, pool: Any = None) -> torch.cuda.graph:
    """Return a recorder of a graph while other threads (of loaders, of NCCL) use the device."""
    return torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local")


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, graph: _Graph, images: Tensor) -> Tensor:
        features = graph.run(images)
        ctx.graph, ctx.turn = graph, graph.turn
        ctx.save_for_backward(images)
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        graph: _Graph = ctx.graph
        if graph.turn != ctx.turn:  # another pass has since run in the same memory
            graph.run(*ctx.saved_tensors)
        return None, graph.run_back(gradients[0])


def _places(network: nn.Module) -> list[int]:
    return [tensor.data_ptr() for tensor in (*network.parameters(), *network.buffers())]


def _captured(network: nn.Module, images: Tensor) -> _Graph | None:
    """Capture a network's passes as a graph; None if it cannot be replayed."""
    mode = torch.cuda.get_sync_debug_mode()
    random_state = torch.random.fork_rng(devices=[images.device])
    with warnings.catch_warnings(), torch.cuda.device(images.device), random_state:
        warnings.simplefilter("ignore")  # warns that debug mode is on
        try:
            torch.cuda.set_sync_debug_mode("error")
            looks = _looks(network, images)
            torch.cuda.set_sync_debug_mode(mode)
            if looks is None or not _agree(looks):
                return None
            graph = _Graph(network, images)
        except RuntimeError:
            return None
        finally:
            torch.cuda.set_sync_debug_mode(mode)
        replayed = graph.run(images), graph.run_back(torch.ones_like(graph.gradient))
        return graph if _agree([looks[0], replayed]) else None


def _looks(network: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]] | None:
    """Return features and gradients of some consecutive passes on a separate stream."""
    stream, passes = torch.cuda.Stream(), []
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.enable_grad():
        for _ in range(_LOOKS):
            inputs = images.clone(memory_format=torch.preserve_format).requires_grad_(True)
            features = network(inputs)
            if not isinstance(features, Tensor) or not features.requires_grad:
                return None
            ones = torch.ones_like(features)
            (gradient,) = torch.autograd.grad(features, inputs, ones)
            passes.append((features.detach(), gradient))
    torch.cuda.current_stream().wait_stream(stream)
    return passes


def _agree(passes: list[tuple[Tensor, Tensor]]) -> bool:
    """Tell whether passes gave the same features and gradients.

    If nondeterministic kernels are allowed, gradients may differ by rounding.
    """
    features, gradient = passes[0]
    spread = 0.0 if torch.backends.cudnn.deterministic else 1e-3 * float(gradient.abs().max())
    return all(
        torch.equal(features, other) and float((gradient - toward).abs().max()) <= spread
        for other, toward in passes[1:]
    )


F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS: tuple[tuple[Any, str, bool], ...] = (
    (torch.backends.cudnn, "allow_tf32", False),
    (torch.backends.cudnn, "deterministic", True),
    (torch.backends.cudnn, "benchmark", False),
    (torch.backends.cuda.matmul, "allow_tf32", False),
)


def settings() -> tuple[bool, ...]:
    """Return the settings that decide which kernels run."""
    return (*(getattr(home, name) for home, name, _ in _SETTINGS), torch.is_autocast_enabled())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use a number of CPU threads in PyTorch inside the block; 0 = no change."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def on_configured_threads(function: F) -> F:
    """Run a function, whose first argument is a config, on ``adv.job.threads`` threads."""

    @wraps(function)
    def run(cfg: Any, *args: Any, **keywords: Any) -> Any:
        with threads(cfg.adv.job.threads):
            return function(cfg, *args, **keywords)

    return cast("F", run)


@contextmanager
def repeatable() -> Iterator[None]:
    """Use deterministic kernels without TF32 inside the block.

    TF32 rounds products to 10 bits, and cuDNN's fastest kernels differ from run to run; with either
    one a resumed run would differ from an uninterrupted one. CPUs are not affected.
    """
    with kept_kernels():
        for home, name, value in _SETTINGS:
            setattr(home, name, value)
        yield


@contextmanager
def kept_kernels() -> Iterator[None]:
    """Restore the choice of kernels after the block."""
    before = [getattr(home, name) for home, name, _ in _SETTINGS]
    try:
        yield
    finally:
        for (home, name, _), value in zip(_SETTINGS, before, strict=True):
            setattr(home, name, value)
