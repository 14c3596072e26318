"""The architecture of a loaded network, whatever it is called."""

from __future__ import annotations

import hashlib

import torch

from torchreid_adv.models.pixel_model import PixelModel, any_labels, black_box, frozen


def architecture(model: PixelModel) -> str:
    """Return a hash of the layers that a network's features depend on, "" where it is unknown.

    The hash covers the shapes of all weights through which the features have a gradient. The
    classifier of the training identities does not count, nor do names of layers, biases, and
    embeddings of positions and cameras, whose number depends on the images. Networks with the same
    hash have the same layers and differ at most in the values of their weights; strides are not
    compared.

    Args:
        model: the loaded network; its flags and gradients are restored.
    """
    weights = {n: p for n, p in model.named_parameters() if n.endswith("weight")}
    if not weights or black_box(model):
        return ""
    frames = 2 if getattr(model.network, "takes_tracklets", False) else 1
    first = next(iter(weights.values()))
    images = torch.full((1, frames, 3, *model.size), 0.5, device=first.device)
    try:
        with frozen(model), torch.enable_grad(), torch.random.fork_rng():
            for weight in weights.values():
                weight.requires_grad_()
            features = model(images if frames > 1 else images[:, 0], **any_labels(model, 1))
            gradients = torch.autograd.grad(
                features.float().sum(), list(weights.values()), allow_unused=True
            )
    except Exception:  # a foreign network may raise anything; then nothing is known of it
        return ""
    used = zip(weights.values(), gradients, strict=True)
    shapes = sorted(tuple(weight.shape) for weight, gradient in used if gradient is not None)
    return hashlib.sha256(repr(shapes).encode()).hexdigest() if shapes else ""
