"""The generator network of perturbations, and its discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from torchreid_adv.errors import ConfigError

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
SMALLEST = 8  # pixels of a side, so that two halvings leave enough to pad by reflection


class NoiseNetwork(nn.Module):
    """Images (N, 3, H, W) in [0, 1] -> maps (N, C, H', W'), H and W rounded up to multiples of 4.

    The generator of Wang et al., Transferable, Controllable, and Inconspicuous Adversarial Attacks
    on Person Re-identification With Deep Mis-Ranking, 2020. With instance normalization the output
    for an image never depends on other images, not even in training.

    Args:
        outputs: number of maps C.
        filters: filters of the first convolution; doubled twice further down.
        blocks: residual blocks in between.
        spectral: constrain the spectral norm of each convolution to 1, for training.

    Raises:
        ConfigError: there are no filters.
    """

    def __init__(
        self, *, outputs: int = 3, filters: int = 32, blocks: int = 6, spectral: bool = True
    ) -> None:
        super().__init__()
        if filters < 1 or blocks < 0:
            raise ConfigError(f"a generator has filters, got {filters}, and {blocks} blocks")
        wide = 4 * filters
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_with_norm(nn.Conv2d(3, filters, 7), filters),
            *_with_norm(nn.Conv2d(filters, 2 * filters, 3, 2, 1), 2 * filters),
            *_with_norm(nn.Conv2d(2 * filters, wide, 3, 2, 1), wide),
            *(_Residual(wide) for _ in range(blocks)),
            *_with_norm(nn.ConvTranspose2d(wide, 2 * filters, 3, 2, 1, 1), 2 * filters),
            *_with_norm(nn.ConvTranspose2d(2 * filters, filters, 3, 2, 1, 1), filters),
            nn.ReflectionPad2d(3),
            nn.Conv2d(filters, outputs, 7),
        )
        if spectral:
            for layer in list(self.modules()):
                if isinstance(layer, CONVOLUTIONS):
                    spectral_norm(layer)

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps.

        Raises:
            ConfigError: images have less than 8 pixels a side.
        """
        if min(images.shape[-2:]) < SMALLEST:
            raise ConfigError(
                f"a generator needs images of {SMALLEST} pixels a side or more, got "
                f"{tuple(images.shape[-2:])}"
            )
        maps: Tensor = self.layers(images * 2 - 1)
        return maps

    def weights(self) -> dict[str, Tensor]:
        """Return the weights in use, with spectral norms applied: name -> tensor."""
        training = self.training
        weights = {}
        for name, layer in self.eval().named_modules():
            if isinstance(layer, CONVOLUTIONS):
                assert layer.bias is not None
                weights[f"{name}.weight"] = layer.weight.detach().clone()
                weights[f"{name}.bias"] = layer.bias.detach().clone()
        self.train(training)
        return weights

    @classmethod
    def of(
        cls, weights: dict[str, Tensor], *, outputs: int, filters: int, blocks: int
    ) -> NoiseNetwork:
        """Build a frozen network from the result of :meth:`weights`.

        Raises:
            RuntimeError: the weights belong to another network.
        """
        with torch.device("meta"):  # draws no random numbers
            network = cls(outputs=outputs, filters=filters, blocks=blocks, spectral=False)
        network.load_state_dict(weights, assign=True)
        return network.eval().requires_grad_(False)


class _Residual(nn.Module):
    """Two convolutions whose output is added to the input."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_with_norm(nn.Conv2d(filters, filters, 3), filters),
            nn.ReflectionPad2d(1),
            *_with_norm(nn.Conv2d(filters, filters, 3), filters)[:-1],
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        moved: Tensor = self.layers(maps)
        return maps + moved


def _with_norm(layer: nn.Module, filters: int) -> list[nn.Module]:
    return [layer, nn.InstanceNorm2d(filters), nn.ReLU(inplace=True)]


SCALES = 3
SMALLEST_PATCH = 16  # pixels of a side, so that the smallest scale has a patch


class PatchDiscriminator(nn.Module):
    """Clean images and images paired with them -> one score map per scale (N, 1, h, w).

    PatchGANs on the images at full, half and quarter size, as in Wang et al. (Deep Mis-Ranking,
    2020), trained with least squares: 1 means clean, 0 means adversarial.

    Args:
        filters: filters of the first convolution.
    """

    def __init__(self, *, filters: int = 32) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patches(filters) for _ in range(SCALES))

    def forward(self, clean: Tensor, images: Tensor) -> list[Tensor]:
        """Return the score maps of images, both (N, 3, H, W) in [0, 1], sides of 16 or more."""
        pair = torch.cat([clean, images], dim=1) * 2 - 1
        verdicts = []
        for patches in self.scales:
            verdicts.append(patches(pair))
            pair = F.avg_pool2d(pair, 2)
        return verdicts


def least_squares(verdicts: list[Tensor], target: float) -> Tensor:
    """Return the mean squared distance of score maps from their target (LSGAN)."""
    return torch.stack([(verdict - target).pow(2).mean() for verdict in verdicts]).mean()


def _patches(filters: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(6, filters, 4, 2, 1)),
        nn.LeakyReLU(0.2, inplace=True),
        spectral_norm(nn.Conv2d(filters, 2 * filters, 4, 2, 1)),
        nn.LeakyReLU(0.2, inplace=True),
        spectral_norm(nn.Conv2d(2 * filters, 4 * filters, 3, 1, 1)),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4 * filters, 1, 3, 1, 1),
    )
