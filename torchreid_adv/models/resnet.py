"""The ResNet below re-ID heads: last stride, IBN, non-local blocks, ImageNet weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.downloads import published_weights

RESNET50 = (3, 4, 6, 3)
RESNET101 = (3, 4, 23, 3)

# published files; their names end with the start of their SHA-256
WEIGHTS = {
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "resnet101_ibn_a": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/"
    "resnet101_ibn_a-59ea0ac6.pth",
}

_STAGES = ("layer1", "layer2", "layer3", "layer4")


class Trunk(ResNet):
    """torchvision's bottleneck ResNet up to its last feature maps.

    Tensors have torchvision's names, so that ImageNet weights fit; non-local blocks are below
    ``attention`` and change nothing until they are trained.

    Args:
        layers: blocks in each of the four stages.
        last_stride: stride of the last stage; 1 doubles height and width of the maps.
        ibn: IBN-a: the first norm of each block of stages 1 to 3 normalizes half of the channels by
            image (Pan et al., Two at Once, 2018).
        non_local: number of each stage's last blocks that are followed by a non-local block.
        width: channels of the 3x3 convolutions in the first stage; 64 in ResNet-50.
    """

    def __init__(
        self,
        layers: Sequence[int] = RESNET50,
        *,
        last_stride: int = 1,
        ibn: bool = False,
        non_local: Sequence[int] = (0, 0, 0, 0),
        width: int = 64,
    ) -> None:
        super().__init__(Bottleneck, list(layers), width_per_group=width)
        del self.fc, self.avgpool
        first = self.layer4[0]
        first.conv2.stride = first.downsample[0].stride = (last_stride, last_stride)
        for stage in _STAGES[:3] if ibn else ():
            for block in getattr(self, stage):
                block.bn1 = InstanceBatchNorm(block.bn1.num_features)
        self.attention = nn.ModuleDict(
            {
                stage: nn.ModuleList(
                    NonLocal(getattr(self, stage)[-1].bn3.num_features) for _ in range(count)
                )
                for stage, count in zip(_STAGES, non_local, strict=True)
                if count
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps (N, 2048, H / 32, W / 32) of normalized images (N, 3, H, W).

        With last stride 1 they have twice that height and width.
        """
        return self.stages(self.stem(images))

    def stem(self, images: Tensor) -> Tensor:
        """Return the maps (N, 64, H / 4, W / 4) before the first stage."""
        maps: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return maps

    def stages(self, maps: Tensor) -> Tensor:
        """Return the last maps, given the output of :meth:`stem`."""
        for stage in _STAGES:
            maps = self._stage(stage, maps)
        return maps

    def _stage(self, name: str, maps: Tensor) -> Tensor:
        blocks = getattr(self, name)
        if name not in self.attention:
            whole: Tensor = blocks(maps)
            return whole
        behind = list(self.attention[name])  # type: ignore[call-overload]
        plain = len(blocks) - len(behind)
        for place, block in enumerate(blocks):
            maps = block(maps)
            if place >= plain:
                maps = behind[place - plain](maps)
        return maps


def load_imagenet(trunk: Trunk, name: str) -> None:
    """Load published ImageNet weights into a trunk; nothing is downloaded.

    Args:
        trunk: a trunk of that network; its non-local blocks are not changed.
        name: key of ``WEIGHTS``.

    Raises:
        ConfigError: they are not in torch's hub folder, or do not fit.
    """
    state = read_checkpoint(published_weights(WEIGHTS[name]))
    incompatible = trunk.load_state_dict(
        {key: value for key, value in state.items() if not key.startswith("fc.")}, strict=False
    )
    lost = [key for key in incompatible.missing_keys if not key.startswith("attention.")]
    lost = [key for key in lost if not key.endswith("num_batches_tracked")]
    if lost or incompatible.unexpected_keys:
        raise ConfigError(
            f"the weights of ImageNet for {name} do not fit this network, for example "
            f"{[*lost, *incompatible.unexpected_keys][0]}; set model.pretrained False"
        )


class GeM(nn.Module):
    """Generalized mean over all positions: (mean of x^p)^(1/p) per channel, with learned p.

    Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2018, eq. 3. p = 1
    is average pooling, a large p max pooling.

    Args:
        p: initial exponent.
        smallest: lower limit of the values, so that powers have gradients.
    """

    def __init__(self, p: float = 3.0, smallest: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), p))
        self.smallest = smallest

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, 1, 1) of maps (N, C, H, W); half formats are averaged in fp32."""
        exact = maps if maps.dtype == torch.float64 else maps.float()
        exponent = self.p.to(exact.dtype)
        mean = exact.clamp(min=self.smallest).pow(exponent).mean((2, 3), keepdim=True)
        return mean.pow(1.0 / exponent).to(maps.dtype)


class NonLocal(nn.Module):
    """Adds a sum over all positions to each one: x_i + W sum_j (theta_i . phi_j) g_j / positions.

    Wang et al., Non-local Neural Networks, 2018, eqs. 1, 4 and 6, in the dot product form that AGW
    (Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, 2021) uses. The
    norm after W starts at zero: the block changes nothing until it is trained.

    Args:
        channels: C of the maps; half of them are used inside.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = channels // 2
        self.theta = nn.Conv2d(channels, inside, 1)
        self.phi = nn.Conv2d(channels, inside, 1)
        self.g = nn.Conv2d(channels, inside, 1)
        self.out = nn.Sequential(nn.Conv2d(inside, channels, 1), nn.BatchNorm2d(channels))
        nn.init.zeros_(self.out[1].weight)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, H, W) of the same shape."""
        theta, phi, g = (part(maps).flatten(2) for part in (self.theta, self.phi, self.g))
        weights = theta.transpose(1, 2) @ phi / phi.shape[2]  # (N, places, places)
        heard = (g @ weights.transpose(1, 2)).unflatten(2, maps.shape[2:])
        added: Tensor = self.out(heard)
        return maps + added


class InstanceBatchNorm(nn.Module):
    """IBN-a's norm: the first half of the channels per image, the others per batch.

    Pan et al., Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net, 2018. The
    names of its parts match the published weights.

    Args:
        channels: C of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.by_image = channels // 2
        self.IN = nn.InstanceNorm2d(self.by_image, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.by_image)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, H, W) of the same shape."""
        first, by_batch = maps[:, : self.by_image], maps[:, self.by_image :]
        return torch.cat([self.IN(first.contiguous()), self.BN(by_batch.contiguous())], dim=1)


class NeckNorm(nn.BatchNorm1d):
    """BNNeck's norm, whose shift stays zero (Luo et al., Bag of Tricks, 2019, section 3.6).

    The shift is a buffer, because torchreid makes every parameter trainable in each epoch.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features)
        del self.bias
        self.register_buffer("bias", torch.zeros(features))
