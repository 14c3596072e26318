"""The network that draws a perturbation for an image, and the discriminator it plays against."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from torchreid_adv.errors import ConfigError

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
SMALLEST = 8  # pixels of a side, so that two halvings leave something to reflect


class NoiseNetwork(nn.Module):
    """Images (N, 3, H, W) in [0, 1] -> maps (N, C, H', W'), H and W rounded up to multiples of 4.

    The generator of Wang et al., Transferable, Controllable, and Inconspicuous Adversarial Attacks
    on Person Re-identification With Deep Mis-Ranking, 2020. Instance normalization, so that what is
    drawn for an image never depends on its neighbors, in training neither.

    Args:
        outputs: maps C.
        filters: of the first convolution; twice and four times as many further down.
        blocks: residual blocks between.
        spectral: hold the spectral norm of each convolution at 1, for training.

    Raises:
        ConfigError: no filters.
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
            ConfigError: images of less than 8 pixels a side.
        """
        if min(images.shape[-2:]) < SMALLEST:
            raise ConfigError(
                f"a generator needs images of {SMALLEST} pixels a side or more, got "
                f"{tuple(images.shape[-2:])}"
            )
        maps: Tensor = self.layers(images * 2 - 1)
        return maps

    def weights(self) -> dict[str, Tensor]:
        """Return the weights as they are in use, spectral norms applied: name -> tensor."""
        training = self.training
        found = {}
        for name, layer in self.eval().named_modules():
            if isinstance(layer, CONVOLUTIONS):
                assert layer.bias is not None
                found[f"{name}.weight"] = layer.weight.detach().clone()
                found[f"{name}.bias"] = layer.bias.detach().clone()
        self.train(training)
        return found

    @classmethod
    def of(
        cls, weights: dict[str, Tensor], *, outputs: int, filters: int, blocks: int
    ) -> NoiseNetwork:
        """Return the network of :meth:`weights`, frozen.

        Raises:
            RuntimeError: they are those of another network.
        """
        with torch.device("meta"):  # draws no random numbers
            network = cls(outputs=outputs, filters=filters, blocks=blocks, spectral=False)
        network.load_state_dict(weights, assign=True)
        return network.eval().requires_grad_(False)


class _Residual(nn.Module):
    """Two convolutions that are added to what comes in."""

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
    """Clean images and images beside them -> one map of verdicts per scale (N, 1, h, w).

    PatchGANs on the images, on half and on a quarter of their size, as Wang et al. (Deep
    Mis-Ranking, 2020) use them with least squares: 1 says clean, 0 says adversarial.

    Args:
        filters: of the first convolution.
    """

    def __init__(self, *, filters: int = 32) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patches(filters) for _ in range(SCALES))

    def forward(self, clean: Tensor, images: Tensor) -> list[Tensor]:
        """Return the verdicts on images, both (N, 3, H, W) in [0, 1], sides of 16 or more."""
        pair = torch.cat([clean, images], dim=1) * 2 - 1
        verdicts = []
        for patches in self.scales:
            verdicts.append(patches(pair))
            pair = F.avg_pool2d(pair, 2)
        return verdicts


def least_squares(verdicts: list[Tensor], wanted: float) -> Tensor:
    """Return the mean squared distance of verdicts from what they should be (LSGAN)."""
    return torch.stack([(verdict - wanted).pow(2).mean() for verdict in verdicts]).mean()


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
