"""A third party's plugin: a model, a sampler, two data sets and a transform of its own."""

import torch
from torch import nn

from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS, MODELS, SAMPLERS, TRANSFORMS

datasets = torchreid_module("data.datasets")


@MODELS.register("tiny_net", force=True)
class TinyNet(nn.Module):
    def __init__(self, num_classes, loss="softmax", pretrained=True, use_gpu=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, num_classes)
        self.loss = loss

    def forward(self, images):
        features = self.norm(self.conv(images)).relu().mean((2, 3))
        if not self.training:
            return features
        logits = self.classifier(features)
        return (logits, features) if self.loss == "triplet" else logits


@MODELS.register("tiny_double", force=True)
class TinyDouble(TinyNet):
    """The same in float64: what rounding makes of sums in another order stays below 1e-12."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.double()

    def forward(self, images):
        return super().forward(images.double())


@SAMPLERS.register("BackwardSampler", force=True)
class BackwardSampler(torch.utils.data.Sampler):
    def __init__(self, data_source, num_instances):
        self.rows = list(reversed(range(len(data_source))))
        self.num_instances = num_instances

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)


@DATASETS.register("tiny_market", video=False, force=True)
class TinyMarket(datasets.image.Market1501):
    pass


class _Tracklets(datasets.dataset.VideoDataset):
    def __init__(self, root="", **kwargs):
        market = datasets.image.Market1501(root=root, verbose=False)
        sides = (market.train, market.query, market.gallery)
        super().__init__(*([((i[0], i[0]), *i[1:3]) for i in side] for side in sides), **kwargs)


DATASETS.register("tiny_tracklets", video=True, force=True)(_Tracklets)


@TRANSFORMS.register("half_light", stage="tensor", force=True)
class HalfLight:
    def __init__(self, *, factor: float = 0.5):
        self.factor = factor

    def __call__(self, image):
        return image * self.factor


@TRANSFORMS.register("zero_mean", stage="normalized", force=True)
class ZeroMean:
    def __call__(self, image):
        return image - image.mean()
